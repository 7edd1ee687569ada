// Names of files are bytes: they may hold line ends, quotes and bytes that are no UTF-8. Two ways to write
// them: for people, and in double quotes so that exactly the same bytes are read back.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deda {

// For messages: on one line; control characters and bytes that are no UTF-8 as \n, \t, \r or \xNN.
std::string shown(std::string_view bytes);

// "text" with \" \\ \n \t \r \xNN: ASCII control characters and bytes that are no UTF-8 are escaped.
std::string double_quoted(std::string_view bytes);

// Reads what double_quoted() writes from text[at], which must be a double quote; `at` moves behind the
// closing one. Nothing where the quote is not closed or an escape is unknown; `at` is then not changed.
std::optional<std::string> read_double_quoted(std::string_view text, std::size_t& at);

// "a, b, c, ..." : the first `most` names as shown() writes them.
std::string some_of(const std::vector<std::string>& names, std::size_t most = 5);

}  // namespace deda
