// How long a schedule takes: small cases by hand, and bounds that hold for every one.
#include "study/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/random.h"

namespace deda::study {
namespace {

ScheduledItem item(double seconds, std::vector<std::size_t> needs = {}) {
  return {.seconds = seconds, .least_slots = 1, .spreads = false, .needs = std::move(needs)};
}

TEST(Schedule, AddsUpOnOneSlotAndPacksOnTwo) {
  const std::vector<ScheduledItem> items{item(3), item(2), item(1)};
  EXPECT_DOUBLE_EQ(wall_seconds(items, 1), 6);
  EXPECT_DOUBLE_EQ(wall_seconds(items, 2), 3);
  EXPECT_DOUBLE_EQ(wall_seconds(items, 9), 3);
  EXPECT_DOUBLE_EQ(wall_seconds({}, 2), 0);
  EXPECT_DOUBLE_EQ(wall_seconds(items, 0), 6);  // as one slot
}

TEST(Schedule, WaitsForWhatIsNeededAndNotForWhatIsDone) {
  // A long chain first: 1 -> 5 beside 4, 4.
  EXPECT_DOUBLE_EQ(wall_seconds({item(1), item(5, {0}), item(4), item(4)}, 2), 8);
  EXPECT_DOUBLE_EQ(wall_seconds({item(0), item(5, {0}), item(5, {1})}, 4), 10);
}

TEST(Schedule, GivesATrainingItsRanks) {
  ScheduledItem two_ranks = item(8);  // slot seconds
  two_ranks.least_slots = 2;
  EXPECT_DOUBLE_EQ(wall_seconds({two_ranks, two_ranks}, 2), 8);
  EXPECT_DOUBLE_EQ(wall_seconds({two_ranks, two_ranks}, 4), 4);
  EXPECT_DOUBLE_EQ(wall_seconds({two_ranks}, 1), 8);  // all there is
}

TEST(Schedule, SpreadsWhatMayOverWhatNobodyElseWants) {
  ScheduledItem wide = item(8);
  wide.spreads = true;
  EXPECT_DOUBLE_EQ(wall_seconds({wide}, 4), 2);
  EXPECT_DOUBLE_EQ(wall_seconds({wide, item(1)}, 2), 8);  // one slot each
}

TEST(Schedule, StaysBetweenItsBounds) {
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    RandomStream draws{7, Purpose::test, 0, sample};
    std::vector<ScheduledItem> items;
    for (std::uint32_t i = 0; i < 24; ++i) {
      items.push_back(item(draws.uniform(8, 40)));
      if (i > 0 && draws.chance(0.3)) items.back().needs = {draws.below(i)};
    }
    double sum = 0;
    for (const auto& each : items) sum += each.seconds;
    const auto chains = chains_of(items, 1);
    const double longest = *std::max_element(chains.begin(), chains.end());
    const double bound = std::max(sum / 2, longest), wall = wall_seconds(items, 2);
    EXPECT_GE(wall, bound - 1e-9);
    EXPECT_LE(wall, 1.5 * bound);  // Graham's bound of a list schedule on two slots
  }
}

}  // namespace
}  // namespace deda::study
