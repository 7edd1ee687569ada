// Names of files as text that is always UTF-8, and back to the same bytes.
// Why: Linux takes any bytes as a name; JSON, HTML and terminals take UTF-8. So a name is escaped once, where
// it enters (data::load_dataset, configuration, plans), lives as text in every result, and becomes bytes
// again only where a file is opened.
//
// The escape: \xHH, two capital hexadecimal digits, for a byte that is no UTF-8 or a control character. A
// backslash that would read as such an escape is itself written \x5C. All other names are their own text.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deda {

bool is_utf8(std::string_view bytes);

// Any bytes to UTF-8 without control characters. Different bytes give different texts.
std::string escaped_name(std::string_view bytes);
// The inverse: bytes_of_name(escaped_name(b)) == b. A text without escapes is its own bytes.
std::string bytes_of_name(std::string_view text);
// The file that an escaped name stands for, as a path.
std::filesystem::path path_of_name(std::string_view text);

// A path as text: what is written into JSON and shown to people.
std::string path_text(const std::filesystem::path& path);

// A message for people: bytes that are no UTF-8 and control characters but newline, tab and carriage return
// are escaped, nothing else is touched. Not meant to be read back.
std::string readable(std::string_view message);
// The same on one line: newline, tab and carriage return are escaped too.
std::string readable_line(std::string_view message);

// "a, b, c, ...": the first `most` names, escaped.
std::string some_of(const std::vector<std::string>& names, std::size_t most = 5);

// For lists that people edit: "name" with \" and \\, and \xHH as above.
std::string double_quoted(std::string_view bytes);
// Reads what double_quoted() writes from text[at], which must be a double quote, and what people write: \n \r
// \t, and \xhh in small letters; `at` moves behind the closing quote. Nothing where it is not closed or an
// escape is unknown; `at` is then not changed.
std::optional<std::string> read_double_quoted(std::string_view text, std::size_t& at);

// For parsers that refuse what is no UTF-8: each such byte as a character of Unicode's last private plane,
// and back.
std::string with_private_characters(std::string_view bytes);
std::string without_private_characters(std::string_view text);

}  // namespace deda
