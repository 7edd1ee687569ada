// The comparison: means, spread, differences, and what it says of runs that are missing or unfinished.
#include "report/comparison.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>
#include <sstream>

namespace deda::report {
namespace {

using testing::HasSubstr;

RunResults run(const std::string& method, std::int64_t seed, double usual, double swapped,
               bool finished = true) {
  RunResults result;
  result.folder = method + std::to_string(seed);
  result.method = method;
  result.network = "resnet18";
  result.dataset = "toy";
  result.seed = seed;
  result.epochs = result.epochs_done = 20;
  result.finished = finished;
  result.groups = {"all", "swapped background"};
  result.accuracy["all"] = {usual + 1, usual, usual, 100};
  result.accuracy["swapped background"] = {swapped + 1, swapped, swapped, 50};
  return result;
}

TEST(Comparison, GivesMeanSpreadAndDifferenceToPlain) {
  const auto comparisons = compare(
      {run("deda", 1, 80, 60), run("plain", 1, 70, 20), run("plain", 2, 74, 24), run("deda", 2, 82, 66)});
  ASSERT_EQ(comparisons.size(), 1u);
  const Comparison& comparison = comparisons[0];
  ASSERT_EQ(comparison.methods.size(), 2u);
  EXPECT_EQ(comparison.methods[0].method, "plain") << "plain comes first";
  EXPECT_DOUBLE_EQ(mean(comparison.methods[1].last.at("swapped background")), 63.0);
  EXPECT_NEAR(deviation(comparison.methods[1].last.at("swapped background")), std::sqrt(18.0), 1e-12);
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, HasSubstr("+41.0"));
  EXPECT_THAT(text, HasSubstr("63.0 ± 4.2"));
  EXPECT_TRUE(comparison.notes.empty());
}

TEST(Comparison, NamesWhatIsMissingAndNeverInventsIt) {
  const auto comparisons = compare({run("plain", 1, 70, 20), run("plain", 2, 71, 21), run("deda", 1, 80, 60),
                                    run("deda", 2, 0, 0, false)});
  ASSERT_EQ(comparisons.size(), 1u);
  const std::string text = to_text(comparisons[0]);
  EXPECT_THAT(text, HasSubstr("De-DA (seed 2) is not finished"));
  EXPECT_THAT(text, HasSubstr("De-DA has 1 of 2 seeds"));
}

TEST(Comparison, KeepsMaskSourcesApartAndNamesThemWhereThereAreSeveral) {
  RunResults annotated = run("deda", 1, 80, 60), semantic = run("deda", 1, 78, 58);
  annotated.masks = "annotated, box_grabcut";
  semantic.masks = "semantic";
  semantic.folder = "other";
  const auto both = compare({run("plain", 1, 70, 20), annotated, semantic});
  ASSERT_EQ(both.size(), 1u);
  ASSERT_EQ(both[0].methods.size(), 3u);
  EXPECT_TRUE(both[0].notes.empty());
  const std::string text = to_text(both[0]);
  EXPECT_THAT(text, HasSubstr("De-DA [annotated, box_grabcut]"));
  EXPECT_THAT(text, HasSubstr("De-DA [semantic]"));
  EXPECT_THAT(text, HasSubstr("Plain "));
  EXPECT_THAT(to_text(compare({annotated})[0]), testing::Not(HasSubstr("[")));
}

TEST(Comparison, LinesUpUnderLongNames) {
  const std::string text = to_text(compare({run("plain", 1, 70, 20), run("deda-real", 1, 80, 60)}).at(0));
  std::istringstream lines(text);
  std::set<std::size_t> widths;
  std::string line;
  std::getline(lines, line);  // the title
  while (std::getline(lines, line)) widths.insert(line.size());
  EXPECT_EQ(widths.size(), 1u) << text;
}

TEST(Comparison, KeepsDatasetsApart) {
  RunResults other = run("plain", 1, 50, 50);
  other.dataset = "pets";
  EXPECT_EQ(compare({run("plain", 1, 70, 20), other}).size(), 2u);
}

TEST(Comparison, OfNothingIsNothing) {
  EXPECT_TRUE(compare({}).empty());
}

}  // namespace
}  // namespace deda::report
