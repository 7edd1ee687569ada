#include "core/shell_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/escaped_name.h"

namespace deda {
namespace {

// One way to write an argument that bash reads back as it is, on one line of UTF-8.
std::string quoted(const std::string& argument) {
  constexpr std::string_view harmless =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./:,@%";
  if (!argument.empty() && argument.find_first_not_of(harmless) == std::string::npos) return argument;
  const bool one_line =
      is_utf8(argument) &&
      std::none_of(argument.begin(), argument.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; });
  std::string text = one_line ? "'" : "$'";
  for (const char c : argument) {
    const auto byte = static_cast<unsigned char>(c);
    if (one_line)
      text += c == '\'' ? std::string{"'\\''"} : std::string{c};
    else if (c == '\'' || c == '\\')
      text += std::string{'\\', c};
    else
      text += byte < ' ' || byte >= 0x7F ? fmt::format("\\x{:02X}", byte) : std::string{c};
  }
  return text + "'";
}

}  // namespace

std::string shell_line(const std::vector<std::string>& arguments) {
  std::string line;
  for (const auto& argument : arguments) line += (line.empty() ? "" : " ") + quoted(argument);
  return line;
}

}  // namespace deda
