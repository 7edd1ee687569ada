// CRC-32 as zlib and PNG have it: what the golden tables of tests/golden compare pixels by.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace deda::test {

inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = (t[i] & 1) != 0 ? 0xEDB88320u ^ t[i] >> 1 : t[i] >> 1;
    }
    return t;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 255] ^ crc >> 8;
  return ~crc;
}

}  // namespace deda::test
