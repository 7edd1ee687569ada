// Several seeds as one line: the mean, a band whose meaning the caption names, nothing that only some
// measured.
#include "report/curves.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace deda::report {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

RunResults run(std::vector<std::optional<double>> accuracies) {
  RunResults made;
  for (const auto& accuracy : accuracies) {
    EpochRow row;
    row.epoch = static_cast<std::int64_t>(made.history.size()) + 1;
    if (accuracy) row.accuracy["all"] = *accuracy;
    made.history.push_back(std::move(row));
  }
  return made;
}

Curves draw(const std::vector<RunResults>& runs) {
  CurveGroup group{"De-DA", {}};
  for (const RunResults& each : runs) group.runs.push_back(&each);
  return draw_curves({group}, [](const EpochRow& row) {
    const auto found = row.accuracy.find("all");
    return found == row.accuracy.end() ? std::nullopt : std::optional{found->second};
  });
}

TEST(Curves, OfFewSeedsAreTheirMeanAndReachFromTheLowestToTheHighest) {
  const Curves curves = draw({run({10, 40}), run({20, 50}), run({60, 60})});
  ASSERT_EQ(curves.series.size(), 1u);
  EXPECT_THAT(curves.series[0].points, ElementsAre(Pair(1, 30), Pair(2, 50)));
  ASSERT_EQ(curves.series[0].band.size(), 2u);
  EXPECT_EQ(curves.series[0].band[0].low, 10);
  EXPECT_EQ(curves.series[0].band[0].high, 60);
  EXPECT_EQ(curves.caption, "mean of 3 seeds, band from the lowest to the highest");
}

TEST(Curves, OfMoreSeedsHaveABandOfOneDeviation) {
  const Curves curves = draw({run({10}), run({20}), run({30}), run({40}), run({50})});
  EXPECT_NEAR(curves.series[0].band[0].high - 30, std::sqrt(250.0), 1e-12);
  EXPECT_NEAR(30 - curves.series[0].band[0].low, std::sqrt(250.0), 1e-12);
  EXPECT_THAT(curves.caption, AllOf(HasSubstr("5 seeds"), HasSubstr("± one sample standard deviation")));
}

TEST(Curves, OfOneSeedHaveNoBand) {
  const Curves curves = draw({run({10, 20})});
  EXPECT_THAT(curves.series[0].points, ElementsAre(Pair(1, 10), Pair(2, 20)));
  EXPECT_THAT(curves.series[0].band, IsEmpty());
  EXPECT_EQ(curves.caption, "lines without a band: one seed");
}

TEST(Curves, LeaveOutAndCountEpochsThatOnlySomeSeedsMeasured) {
  const Curves curves = draw({run({10, std::nullopt, 30}), run({20, 40, 50})});
  EXPECT_THAT(curves.series[0].points, ElementsAre(Pair(1, 15), Pair(3, 40)));
  EXPECT_THAT(curves.caption, HasSubstr("1 epochs that not every seed measured are left out"));
  EXPECT_THAT(draw({run({std::nullopt}), run({20})}).series, IsEmpty());
}

TEST(Curves, BreakWhereASeedIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Curves curves = draw({run({10, nan}), run({20, 30})});
  EXPECT_TRUE(std::isnan(curves.series[0].points[1].second));
  EXPECT_FALSE(std::isfinite(curves.series[0].band[1].low));
}

TEST(Curves, NameTheNumbersOfSeedsWhereTheyDiffer) {
  const std::vector<RunResults> runs = {run({1}), run({2}), run({3}), run({4}), run({5}), run({6})};
  const auto group = [&](const char* name, std::size_t from, std::size_t to) {
    CurveGroup made{name, {}};
    for (std::size_t i = from; i < to; ++i) made.runs.push_back(&runs[i]);
    return made;
  };
  const Curves curves =
      draw_curves({group("a", 0, 2), group("b", 2, 5), group("c", 5, 6)},
                  [](const EpochRow& row) { return std::optional{row.accuracy.at("all")}; });
  EXPECT_EQ(curves.series.size(), 3u);
  EXPECT_EQ(curves.caption,
            "mean of 2 or 3 seeds, band from the lowest to the highest; lines without a band: one seed");
  EXPECT_THAT(curves.caption, Not(HasSubstr("deviation")));
}

}  // namespace
}  // namespace deda::report
