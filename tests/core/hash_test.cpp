// Hashes against the values that xxHash and FIPS 180-4 publish for these texts.
#include "core/hash.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/sha256.h"
#include "support/temporary_folder.h"

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

TEST(Hash, Sha256EqualsThePublishedValues) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  const std::string million(1'000'000, 'a');
  constexpr const char* of_million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
  EXPECT_EQ(sha256_hex(million), of_million);
  const test::TemporaryFolder folder;
  write_atomically(folder / "a", million);
  EXPECT_EQ(sha256_of_file(folder / "a"), of_million);
  EXPECT_THROW(sha256_of_file(folder / "b"), IoError);
}

}  // namespace
}  // namespace deda
