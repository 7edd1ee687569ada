#include "core/loose_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace deda::loose {

namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr double exact_limit = 9007199254740992.0;  // 2^53: beyond it a double no longer names one integer

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_quote(char c) {
  return c == '"' || c == '\'';
}

}  // namespace

std::string bare(std::string_view text) {
  text = trimmed(text);
  if (text.size() >= 2 && is_quote(text.front()) && text.front() == text.back())
    text = text.substr(1, text.size() - 2);
  return std::string{text};
}

std::optional<bool> boolean(std::string_view text) {
  std::string word = bare(text);
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

std::optional<std::int64_t> integer(std::string_view text) {
  const std::string word = bare(text);
  const std::string_view digits = std::string_view{word}.substr(word.starts_with('+') ? 1 : 0);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc{} && end == digits.data() + digits.size() && !digits.empty()) return value;
  const auto real = number(text);
  if (!real || *real != std::floor(*real) || std::abs(*real) >= exact_limit) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

std::optional<double> number(std::string_view text) {
  const std::string word = bare(text);
  // Not what strtod takes besides: blanks in front, hexadecimal, "infinity".
  if (word.empty() || word.find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  if (end == word.c_str() || *end != '\0') return std::nullopt;
  return value;
}

std::string suggested_number(std::string_view text) {
  std::string word = bare(text);
  if (word.ends_with('%')) {
    word.pop_back();
    const auto percent = number(word);
    return percent ? fmt::format("{}", *percent / 100) : std::string{};
  }
  const auto comma = word.find(',');
  if (comma == std::string::npos || word.find(',', comma + 1) != std::string::npos) return {};
  constexpr std::size_t thousand_digits = 3;
  const bool thousands = word.size() - comma - 1 == thousand_digits && comma > 0 && word[0] != '0';
  thousands ? word.erase(comma, 1) : word.replace(comma, 1, ".");
  return number(word) ? word : std::string{};
}

std::vector<std::string> list(std::string_view text) {
  text = trimmed(text);
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']')
    text = trimmed(text.substr(1, text.size() - 2));
  std::vector<std::string> elements;
  if (text.empty()) return elements;
  char quote = '\0';
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quote != '\0') {
      if (text[i] == quote) quote = '\0';
    } else if (is_quote(text[i]) && trimmed(text.substr(begin, i - begin)).empty()) {
      quote = text[i];
    } else if (text[i] == ',') {
      elements.push_back(bare(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (const auto last = trimmed(text.substr(begin)); !last.empty()) elements.push_back(bare(last));
  return elements;
}

std::optional<std::filesystem::path> with_home(const std::filesystem::path& path) {
  const std::string& text = path.native();
  if (!text.starts_with('~')) return path;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0' || (text.size() > 1 && text[1] != '/')) return std::nullopt;
  return home + text.substr(1);
}

}  // namespace deda::loose
