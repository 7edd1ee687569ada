// How wide text is: letters, not bytes.
#pragma once

#include <algorithm>
#include <string_view>

namespace deda::report {

// Code points of UTF-8 text.
inline std::size_t count_letters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace deda::report
