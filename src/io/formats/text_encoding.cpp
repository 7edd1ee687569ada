#include "io/formats/text_encoding.h"

#include <cstdint>

#include "core/error.h"

namespace deda::io {

namespace {

void append_utf8(std::string& text, std::uint32_t code) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

std::string from_utf16(const std::string& bytes, bool little) {
  constexpr std::uint32_t replacement = 0xFFFD, high_first = 0xD800, low_first = 0xDC00, low_end = 0xE000;
  constexpr std::size_t mark = 2;
  const auto unit = [&](std::size_t at) -> std::uint32_t {
    const auto first = static_cast<unsigned char>(bytes[at]),
               second = static_cast<unsigned char>(bytes[at + 1]);
    return little ? second << 8 | first : first << 8 | second;
  };
  std::string text;
  for (std::size_t at = mark; at + 1 < bytes.size(); at += 2) {
    std::uint32_t code = unit(at);
    if (code >= high_first && code < low_first && at + 3 < bytes.size() && unit(at + 2) >= low_first &&
        unit(at + 2) < low_end) {
      code = 0x10000 + ((code - high_first) << 10) + (unit(at + 2) - low_first);
      at += 2;
    } else if (code >= high_first && code < low_end) {
      code = replacement;
    }
    append_utf8(text, code);
  }
  return text;
}

}  // namespace

std::string plain_text(std::string bytes, const std::string& where, bool* was_utf16) {
  const bool little = bytes.starts_with("\xFF\xFE"), big = bytes.starts_with("\xFE\xFF");
  if (was_utf16 != nullptr) *was_utf16 = little || big;
  if (little || big)
    bytes = from_utf16(bytes, little);
  else if (bytes.starts_with("\xEF\xBB\xBF"))
    bytes.erase(0, 3);
  if (bytes.find('\0') != std::string::npos)
    throw DataError("holds zero bytes, so that it is no text", where, "Save it as UTF-8.");
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\r')
      text += bytes[i];
    else if (i + 1 == bytes.size() || bytes[i + 1] != '\n')
      text += '\n';
  }
  if (text.ends_with('\x1A')) text.pop_back();  // the end of a file of DOS
  return text;
}

}  // namespace deda::io
