// The greedy one-cycle cover against NumPy's of tests/golden/mixing_saliency.py.
#include "mixing/greedy_pairing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "io/formats/text_table.h"
#include "support/hashed_numbers.h"

namespace deda::mixing {
namespace {

using testing::ElementsAre;

// The script's: multiples of 1/levels; levels 0: all maps are equal, 1: all are 0.
std::vector<float> made_up_maps(std::uint64_t number, std::size_t n, std::size_t pixels, double levels) {
  std::vector<float> maps(n * pixels);
  for (std::size_t i = 0; i < maps.size(); ++i)
    maps[i] = static_cast<float>(levels == 0 ? test::hashed_number(number, i % pixels)
                                             : std::floor(test::hashed_number(number, i) * levels) / levels);
  return maps;
}

void expect_one_cycle(const std::vector<std::uint32_t>& partners, const std::string& what) {
  std::size_t length = 0, at = 0;
  do {
    ASSERT_LT(partners[at], partners.size()) << what;
    at = partners[at];
    ++length;
  } while (at != 0 && length <= partners.size());
  EXPECT_EQ(length, partners.size()) << what;
}

TEST(GreedyPairing, EqualsNumPys) {
  const auto table = io::read_csv(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/greedy_pairing.csv");
  ASSERT_EQ(table.rows.size(), 1 + 210u);
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t column) {
      return static_cast<std::size_t>(*io::to_integer(cells[column]));
    };
    const std::size_t n = number(1), pixels = number(2);
    const auto maps = made_up_maps(number(0), n, pixels, static_cast<double>(number(3)));
    std::istringstream text(cells[4]);
    const std::vector<std::uint32_t> expected{std::istream_iterator<std::uint32_t>(text), {}};
    ASSERT_EQ(expected.size(), n);
    const auto partners = greedy_pairing(squared_distances(maps, n, pixels), n);
    EXPECT_EQ(partners, expected) << table.where(table.rows[i]);
    expect_one_cycle(partners, table.where(table.rows[i]));
  }
}

TEST(GreedyPairing, GoesToTheFarthestThatWasNotLeft) {
  // 9 is the largest, at (0, 2) first; from 2 the farthest that was not left is 1, from 1 it is 3, which
  // closes.
  const std::vector<double> distances{0, 2, 9, 1,  //
                                      2, 0, 8, 3,  //
                                      9, 8, 0, 4,  //
                                      1, 3, 4, 0};
  EXPECT_THAT(greedy_pairing(distances, 4), ElementsAre(2, 3, 1, 0));
}

TEST(GreedyPairing, ReadsNoDiagonal) {
  const std::vector<double> distances{99, 1,  2,  //
                                      1,  99, 3,  //
                                      2,  3,  99};
  EXPECT_THAT(greedy_pairing(distances, 3), ElementsAre(1, 2, 0));
}

TEST(GreedyPairing, SmallBatches) {
  EXPECT_THAT(greedy_pairing({}, 0), ElementsAre());
  EXPECT_THAT(greedy_pairing(std::vector<double>{0}, 1), ElementsAre(0));
  EXPECT_THAT(greedy_pairing(std::vector<double>{0, 5, 5, 0}, 2), ElementsAre(1, 0));
}

// A picture whose saliency went bad must not take the batch with it.
TEST(GreedyPairing, StaysOneCycleWithDistancesThatAreNoNumbers) {
  constexpr std::size_t n = 6;
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> distances(n * n, none);
  expect_one_cycle(greedy_pairing(distances, n), "all");
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j)
      if (i != 2 && j != 2) distances[i * n + j] = i == j ? 0 : 1 + static_cast<double>(i + j);
  }
  const auto partners = greedy_pairing(distances, n);
  expect_one_cycle(partners, "one picture");
  EXPECT_EQ(partners[4], 5u);  // the largest that is a number, first in raster order
}

TEST(SquaredDistances, AreThoseOfDoubles) {
  // More pixels than a block, and no multiple of one.
  constexpr std::size_t n = 4, pixels = 1003;
  const auto maps = made_up_maps(77, n, pixels, 1u << 24);
  const auto found = squared_distances(maps, n, pixels);
  ASSERT_EQ(found.size(), n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double expected = 0;
      for (std::size_t k = 0; k < pixels; ++k)
        expected += std::pow(static_cast<double>(maps[i * pixels + k]) - maps[j * pixels + k], 2);
      // About 1000 additions of doubles, in another order.
      EXPECT_NEAR(found[i * n + j], expected, 1e-13 * expected) << i << " " << j;
      EXPECT_EQ(found[i * n + j], found[j * n + i]);
    }
  }
}

TEST(GreedyPairing, RefusesNumbersThatDoNotFit) {
  EXPECT_THROW(greedy_pairing(std::vector<double>(5), 2), DataError);
  EXPECT_THROW(squared_distances(std::vector<float>(5), 2, 3), DataError);
}

}  // namespace
}  // namespace deda::mixing
