#include "models/text/unicode_text.h"

#include <utf8proc.h>

#include <array>

namespace deda::models {

std::string utf8(std::int32_t code) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto count = utf8proc_encode_char(code, bytes.data());
  return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(count)};
}

std::vector<std::int32_t> code_points(std::string_view text) {
  constexpr utf8proc_int32_t replacement = 0xFFFD;
  std::vector<std::int32_t> codes;
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code = 0;
    const auto used = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    codes.push_back(used > 0 ? code : replacement);
    at += used > 0 ? static_cast<std::size_t>(used) : 1;
  }
  return codes;
}

}  // namespace deda::models
