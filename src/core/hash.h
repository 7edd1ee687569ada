// xxHash for records (64 bit, stored in HDF5) and for keys and digests (128 bit, hexadecimal).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace deda {

// xxHash64 with seed 0, as the store's column `hash` promises (src/io/README.md).
std::uint64_t xxhash64(std::span<const std::uint8_t> bytes);
// XXH3-128 as 32 lower-case hexadecimal digits.
std::string xxhash128_hex(std::string_view text);

}  // namespace deda
