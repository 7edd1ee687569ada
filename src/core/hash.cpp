#include "core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace deda {

std::uint64_t xxhash64(std::span<const std::uint8_t> bytes) {
  return XXH64(bytes.data(), bytes.size(), 0);
}

std::string xxhash128_hex(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace deda
