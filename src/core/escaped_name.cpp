#include "core/escaped_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace deda {

namespace {

constexpr std::size_t escape_length = 4;  // \xHH
constexpr unsigned char delete_character = 0x7F;
constexpr std::string_view private_prefix = "\xF4\x8F";  // U+10FE00 + byte is F4 8F B8 80 to F4 8F BB BF

bool is_control(unsigned char c) {
  return c < ' ' || c == delete_character;
}

// Bytes of the UTF-8 sequence that begins `bytes`; 0 where there is none (overlong forms, surrogates and code
// points beyond U+10FFFF included).
std::size_t sequence_length(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || bytes.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned char second = at(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool too_large = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

std::optional<unsigned> digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

char capital(char c) {
  return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
}

// The byte of the escape that begins `text`.
std::optional<char> escape_at(std::string_view text) {
  if (text.size() < escape_length || text[0] != '\\' || text[1] != 'x') return std::nullopt;
  const auto high = digit(text[2]), low = digit(text[3]);
  if (!high || !low) return std::nullopt;
  return static_cast<char>(*high << 4 | *low);
}

std::string escape_of(char byte) {
  return fmt::format("\\x{:02X}", static_cast<unsigned char>(byte));
}

// Copies `bytes`, with `escape(byte)` for what is no UTF-8 and where `must_escape(rest)` says so of an ASCII
// character.
template <class MustEscape, class Escape>
std::string with_escapes(std::string_view bytes, const MustEscape& must_escape, const Escape& escape) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t length = sequence_length(bytes);
    if (length == 0 || (length == 1 && must_escape(bytes))) {
      text += escape(bytes.front());
      bytes.remove_prefix(1);
    } else {
      text += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return text;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = sequence_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string escaped_name(std::string_view bytes) {
  return with_escapes(
      bytes,
      [](std::string_view rest) {
        return is_control(static_cast<unsigned char>(rest.front())) || escape_at(rest).has_value();
      },
      escape_of);
}

std::string bytes_of_name(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const auto byte = escape_at(text);
    bytes += byte.value_or(text.front());
    text.remove_prefix(byte ? escape_length : 1);
  }
  return bytes;
}

std::filesystem::path path_of_name(std::string_view text) {
  return bytes_of_name(text);
}

std::string path_text(const std::filesystem::path& path) {
  return escaped_name(path.native());
}

std::string readable(std::string_view message) {
  return with_escapes(
      message,
      [](std::string_view rest) {
        const char c = rest.front();
        return is_control(static_cast<unsigned char>(c)) && c != '\n' && c != '\t' && c != '\r';
      },
      escape_of);
}

std::string readable_line(std::string_view message) {
  return with_escapes(
      message, [](std::string_view rest) { return is_control(static_cast<unsigned char>(rest.front())); },
      escape_of);
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < most; ++i)
    text += (i > 0 ? ", " : "") + escaped_name(names[i]);
  if (names.size() > most) text += ", ...";
  return text;
}

std::string double_quoted(std::string_view bytes) {
  const auto is_marked = [](char c) { return c == '"' || c == '\\'; };
  return '"' +
         with_escapes(
             bytes,
             [&](std::string_view rest) {
               return is_marked(rest.front()) || is_control(static_cast<unsigned char>(rest.front()));
             },
             [&](char c) {
               return is_marked(c) ? std::string{'\\', c} : escape_of(c);
             }) +
         '"';
}

std::optional<std::string> read_double_quoted(std::string_view text, std::size_t& at) {
  if (!text.substr(std::min(at, text.size())).starts_with('"')) return std::nullopt;
  std::string bytes;
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      at = i + 1;
      return bytes;
    }
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    std::string escape{text.substr(i, escape_length)};
    for (std::size_t k = 2; k < escape.size(); ++k) escape[k] = capital(escape[k]);
    if (const auto byte = escape_at(escape)) {
      bytes += *byte;
      i += escape_length - 1;
      continue;
    }
    constexpr std::string_view letters = "\"\\nrt", meanings = "\"\\\n\r\t";
    const std::size_t which = ++i < text.size() ? letters.find(text[i]) : std::string_view::npos;
    if (which == std::string_view::npos) return std::nullopt;
    bytes += meanings[which];
  }
  return std::nullopt;
}

std::string with_private_characters(std::string_view bytes) {
  return with_escapes(
      bytes, [](std::string_view) { return false; },
      [](char byte) {
        const auto value = static_cast<unsigned char>(byte);
        return std::string{private_prefix} + static_cast<char>(0xB8 | value >> 6) +
               static_cast<char>(0x80 | (value & 0x3F));
      });
}

std::string without_private_characters(std::string_view text) {
  constexpr std::size_t length = 4;
  std::string bytes;
  while (!text.empty()) {
    const auto third = text.size() < length ? 0 : static_cast<unsigned char>(text[2]);
    if (text.starts_with(private_prefix) && third >= 0xB8 && third <= 0xBB) {
      bytes += static_cast<char>((third & 0x03) << 6 | (static_cast<unsigned char>(text[3]) & 0x3F));
      text.remove_prefix(length);
    } else {
      bytes += text.front();
      text.remove_prefix(1);
    }
  }
  return bytes;
}

}  // namespace deda
