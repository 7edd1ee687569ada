// Statistics over seeds against scipy's and statsmodels' (tests/golden/study_statistics.py), and what they
// refuse to say of too few.
#include "study/seed_statistics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/files.h"

namespace deda::study {
namespace {

using Json = nlohmann::json;
using Values = std::vector<double>;

constexpr double tolerance = 1e-9;

const Json& golden() {
  static const Json json = Json::parse(
      read_text(std::filesystem::path{DEDA_SOURCE_DIR} / "tests" / "golden" / "study_statistics.json"));
  return json;
}

void expect_interval(const std::optional<Interval>& interval, const Json& expected) {
  ASSERT_TRUE(interval.has_value());
  EXPECT_NEAR(interval->low, expected.at("low").get<double>(), tolerance);
  EXPECT_NEAR(interval->high, expected.at("high").get<double>(), tolerance);
}

TEST(SeedStatistics, StudentsQuantilesAndTailsEqualScipys) {
  ASSERT_GT(golden().at("quantiles").size(), 50u);
  for (const Json& each : golden().at("quantiles")) {
    const double t = each.at("t");
    EXPECT_NEAR(student_quantile(each.at("confidence"), each.at("degrees")), t, tolerance * t) << each;
  }
  for (const Json& each : golden().at("tails"))
    EXPECT_NEAR(student_two_sided_p(each.at("t"), each.at("degrees")), each.at("p").get<double>(), 1e-12)
        << each;
}

TEST(SeedStatistics, MeansDeviationsAndIntervalsEqualScipys) {
  for (const Json& each : golden().at("estimates")) {
    const Estimate ours = estimate(each.at("values").get<Values>());
    EXPECT_EQ(ours.n, each.at("values").size());
    EXPECT_NEAR(ours.mean, each.at("mean").get<double>(), tolerance);
    EXPECT_NEAR(ours.deviation, each.at("deviation").get<double>(), tolerance);
    if (each.contains("low"))
      expect_interval(ours.interval, each);
    else
      EXPECT_FALSE(ours.interval.has_value()) << "one or two seeds have no interval";
  }
}

TEST(SeedStatistics, PairedDifferencesEqualScipys) {
  for (const Json& each : golden().at("paired")) {
    const auto paired = paired_difference(each.at("ours").get<Values>(), each.at("theirs").get<Values>());
    EXPECT_NEAR(paired.difference.mean, each.at("mean").get<double>(), tolerance);
    expect_interval(paired.difference.interval, each);
    ASSERT_TRUE(paired.p.has_value());
    EXPECT_NEAR(*paired.p, each.at("p").get<double>(), tolerance);
  }
}

TEST(SeedStatistics, ADifferenceOfOneOrTwoSeedsHasNoIntervalAndNoP) {
  for (const Values& ours : {Values{80}, Values{80, 81}}) {
    const auto paired = paired_difference(ours, Values(ours.size(), 70));
    EXPECT_FALSE(paired.difference.interval.has_value());
    EXPECT_FALSE(paired.p.has_value());
  }
}

TEST(SeedStatistics, EqualDifferencesInEverySeedDivideByNothing) {
  EXPECT_EQ(paired_difference({2, 3, 4}, {1, 2, 3}).p, 0.0);
  EXPECT_EQ(paired_difference({1, 2, 3}, {1, 2, 3}).p, 1.0);
}

TEST(SeedStatistics, HolmsCorrectionEqualsStatsmodels) {
  for (const Json& each : golden().at("holm")) {
    const Values corrected = holm_corrected(each.at("p").get<Values>());
    const auto expected = each.at("corrected").get<Values>();
    ASSERT_EQ(corrected.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(corrected[i], expected[i], tolerance);
  }
}

TEST(SeedStatistics, TheErrorOfATestSetIsTheBinomialOne) {
  for (const Json& each : golden().at("binomial"))
    EXPECT_NEAR(binomial_standard_error(each.at("percent"), each.at("images")),
                each.at("error").get<double>(), tolerance);
  EXPECT_EQ(binomial_standard_error(70, 0), 0.0);
}

TEST(SeedStatistics, OverColumnsTheBootstrapIsAPureFunctionThatNumpyRepeats) {
  for (const Json& each : golden().at("over_columns")) {
    std::vector<PairedColumn> columns;
    for (const Json& column : each.at("columns"))
      columns.push_back({column.at("ours").get<Values>(), column.at("theirs").get<Values>()});
    const OverColumns over = over_columns(columns);
    EXPECT_NEAR(over.mean, each.at("mean").get<double>(), tolerance);
    expect_interval(over.interval, each);
    EXPECT_NEAR(over.probability_of_improvement, each.at("probability_of_improvement").get<double>(),
                tolerance);
  }
}

TEST(SeedStatistics, OverColumnsOfTooFewSeedsThereIsNoInterval) {
  const OverColumns over = over_columns({{{80, 81, 82}, {70, 71, 72}}, {{60, 61}, {61, 61}}});
  EXPECT_DOUBLE_EQ(over.mean, (10.0 - 0.5) / 2);
  EXPECT_FALSE(over.interval.has_value());
  EXPECT_DOUBLE_EQ(over.probability_of_improvement, (1.0 + 0.25) / 2) << "a tie counts half";
}

}  // namespace
}  // namespace deda::study
