// Hashes against the values that xxHash publishes for these texts.
#include "core/hash.h"

#include <gtest/gtest.h>

namespace deda {
namespace {

std::uint64_t hash_of(std::string_view text) {
  return xxhash64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

TEST(Hash, Of64BitsEqualsThePublishedValues) {
  EXPECT_EQ(hash_of(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash_of("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(hash_of("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash_of("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

TEST(Hash, Of128BitsIsThirtyTwoDigitsWithTheHighHalfFirst) {
  EXPECT_EQ(xxhash128_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(xxhash128_hex("abc"), "06b05ab6733a618578af5f94892f3950");
}

}  // namespace
}  // namespace deda
