// Philox against the known answers that its authors publish (Random123, kat_vectors), and the promises of
// RandomStream.
#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace deda {
namespace {

using Block = std::array<std::uint32_t, 4>;

TEST(Philox, EqualsThePublishedKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, KeepsTheNumbersThatEarlierResultsWereMadeWith) {
  // Changing any of these changes every published run: it needs a new schema version.
  RandomStream stream{1, Purpose::combination, 2, 3};
  const Block block = philox4x32({0, 2, 3, 0}, {1u ^ (2u << 16), 2u * 0x9E3779B9u});
  for (const std::uint32_t expected : block) EXPECT_EQ(stream.bits(), expected);
  EXPECT_EQ(stream.position(), 4u);
}

TEST(RandomStream, GivesTheSameDrawWheneverItIsAskedFor) {
  RandomStream stream{42, Purpose::shuffle, 7, std::uint64_t{1} << 40};
  const RandomStream fresh = stream;
  for (std::uint32_t n = 0; n < 23; ++n) EXPECT_EQ(stream.bits(), fresh.bits_at(n)) << n;
}

TEST(RandomStream, DiffersInSeedPurposeEpochAndSample) {
  std::set<std::uint32_t> firsts;
  firsts.insert(RandomStream{1, Purpose::shuffle, 0, 0}.bits());
  firsts.insert(RandomStream{2, Purpose::shuffle, 0, 0}.bits());
  firsts.insert(RandomStream{std::uint64_t{1} << 32, Purpose::shuffle, 0, 0}.bits());
  firsts.insert(RandomStream{1, Purpose::combination, 0, 0}.bits());
  firsts.insert(RandomStream{1, Purpose::shuffle, 1, 0}.bits());
  firsts.insert(RandomStream{1, Purpose::shuffle, 0, 1}.bits());
  firsts.insert(RandomStream{1, Purpose::shuffle, 0, std::uint64_t{1} << 32}.bits());
  EXPECT_EQ(firsts.size(), 7u);
}

TEST(RandomStream, HasTheMomentsOfItsDistributions) {
  constexpr int count = 100000;
  RandomStream stream{5, Purpose::test, 0, 0};
  double sum = 0, normal_sum = 0, normal_squares = 0;
  std::array<int, 7> histogram{};
  for (int i = 0; i < count; ++i) {
    const double u = stream.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    const double z = stream.normal();
    normal_sum += z;
    normal_squares += z * z;
    ++histogram.at(stream.below(7));
  }
  // Five standard errors each.
  EXPECT_NEAR(sum / count, 0.5, 5 * 0.2887 / std::sqrt(count));
  EXPECT_NEAR(normal_sum / count, 0.0, 5 / std::sqrt(count));
  EXPECT_NEAR(normal_squares / count, 1.0, 5 * std::sqrt(2.0 / count));
  for (const int n : histogram) EXPECT_NEAR(n, count / 7.0, 5 * std::sqrt(count / 7.0));
}

TEST(Permutation, HoldsEachNumberOnceAndRepeats) {
  const RandomStream stream{9, Purpose::shuffle, 3, 0};
  std::vector<std::uint32_t> order = permutation(1000, stream);
  EXPECT_EQ(order, permutation(1000, stream));
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  std::vector<std::uint32_t> all(1000);
  std::iota(all.begin(), all.end(), 0u);
  EXPECT_EQ(order, all);
  EXPECT_TRUE(permutation(0, stream).empty());
}

}  // namespace
}  // namespace deda
