// The filters of generated pictures keep what a restatement of the originals in numpy keeps
// (tests/golden/clip_filter.py), and say what became of every class.
#include "diffusion/peers/clip_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace deda::diffusion {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

nlohmann::json golden() {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/clip_filter.json");
  return nlohmann::json::parse(file);
}

double number(const nlohmann::json& value) {
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  return value.is_string() ? std::numeric_limits<double>::infinity() : value.get<double>();
}

ScoredPictures pictures_of(const nlohmann::json& given) {
  ScoredPictures pictures;
  for (const auto& score : given["scores"]) pictures.scores.push_back(number(score));
  pictures.classes = given["classes"].get<std::vector<std::int32_t>>();
  for (int i = 0; i < given["class_count"].get<int>(); ++i)
    pictures.class_names.push_back("class " + std::to_string(i));
  return pictures;
}

// Counted again from what is kept.
void expect_counts(const FilterResult& result, const ScoredPictures& pictures, const std::string& name) {
  std::vector<FilteredClass> classes(pictures.class_names.size());
  for (std::size_t i = 0; i < pictures.scores.size(); ++i) {
    auto& own = classes[static_cast<std::size_t>(pictures.classes[i])];
    ++(result.kept[i] ? own.kept : own.dropped);
    own.without_score += std::isfinite(pictures.scores[i]) && pictures.scores[i] >= 0 ? 0 : 1;
  }
  ASSERT_EQ(result.classes.size(), classes.size()) << name;
  std::vector<std::string> emptied;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    EXPECT_EQ(result.classes[c].name, pictures.class_names[c]) << name;
    EXPECT_EQ(result.classes[c].kept, classes[c].kept) << name << " class " << c;
    EXPECT_EQ(result.classes[c].dropped, classes[c].dropped) << name << " class " << c;
    EXPECT_EQ(result.classes[c].without_score, classes[c].without_score) << name << " class " << c;
    if (classes[c].kept == 0 && classes[c].dropped > 0) emptied.push_back(pictures.class_names[c]);
  }
  EXPECT_EQ(result.emptied_classes(), emptied) << name;
  EXPECT_EQ(result.kept_count() + result.dropped_count(), static_cast<std::int64_t>(pictures.scores.size()))
      << name;
}

TEST(ClipFilter, KeepsWhatTheRestatementsKeep) {
  const auto cases = golden();
  ASSERT_EQ(cases.size(), 15u);
  for (const auto& [name, given] : cases.items()) {
    const auto pictures = pictures_of(given);
    const auto above = keep_above_chance(pictures);
    EXPECT_EQ(above.kept, given["above_chance"].get<std::vector<bool>>()) << name;
    expect_counts(above, pictures, name);
    for (const auto& expected : given["percentiles"]) {
      const auto lowest = drop_lowest(pictures, expected["percent"].get<double>());
      const double threshold = number(expected["threshold"]);
      EXPECT_EQ(std::isnan(lowest.threshold), std::isnan(threshold)) << name;
      if (!std::isnan(threshold)) {
        EXPECT_EQ(lowest.threshold, threshold) << name << " at " << expected["percent"];
      }
      EXPECT_EQ(lowest.kept, expected["kept"].get<std::vector<bool>>())
          << name << " at " << expected["percent"];
      expect_counts(lowest, pictures, name);
    }
  }
}

TEST(ClipFilter, NamesTheClassesThatAreLeftEmptyAndPicturesWithoutAScore) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const ScoredPictures pictures{
      {0.9, 0.1, none, 0.2, 0.6}, {0, 1, 1, 2, 0}, {"wren", "sparrow", "owl", "unseen"}};
  const auto result = keep_above_chance(pictures);
  EXPECT_THAT(result.kept, ElementsAre(true, false, false, false, true));
  EXPECT_THAT(result.emptied_classes(), ElementsAre("sparrow", "owl"))
      << "one without pictures was not emptied";
  EXPECT_EQ(result.without_score(), 1);
  EXPECT_EQ(result.classes[1].without_score, 1);
  EXPECT_EQ(
      result.summary(),
      "kept 2 of 5 pictures, threshold 0.2500; without a score: 1; no picture is left of 2 of 4 classes: "
      "sparrow, owl");
  const auto all = drop_lowest({{0.5, 0.5}, {0, 1}, {"wren", "owl"}}, diff_mix_percent);
  EXPECT_EQ(all.summary(), "kept 2 of 2 pictures, threshold 0.5000");
}

TEST(ClipFilter, NamesOnlyAFewOfManyEmptiedClasses) {
  ScoredPictures pictures;
  for (int i = 0; i < 200; ++i) {
    pictures.scores.push_back(0);
    pictures.classes.push_back(i);
    pictures.class_names.push_back("c" + std::to_string(i));
  }
  const auto summary = keep_above_chance(pictures).summary();
  EXPECT_THAT(summary, HasSubstr("no picture is left of 200 of 200 classes: c0, c1"));
  EXPECT_THAT(summary, HasSubstr(", ..."));
  EXPECT_LT(summary.size(), 200u);
}

TEST(ClipFilter, RefusesWhatDoesNotFitTogether) {
  EXPECT_THROW(keep_above_chance({{0.5, 0.5}, {0}, {"wren"}}), DataError);
  EXPECT_THROW(drop_lowest({{0.5}, {1}, {"wren"}}, 10), DataError);
  EXPECT_THROW(drop_lowest({{0.5}, {-1}, {"wren"}}, 10), DataError);
  EXPECT_THROW(keep_above_chance({{0.5}, {0}, {}}), DataError);
  for (const double percent : {-0.1, 100.1, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(drop_lowest({{0.5}, {0}, {"wren"}}, percent), ConfigError) << percent;
  EXPECT_TRUE(keep_above_chance({}).kept.empty());
}

TEST(ClipFilter, CaptionsAreTheOriginals) {
  const auto [with, without] = with_and_without("bird");
  EXPECT_EQ(with, "a photo with a bird on it");
  EXPECT_EQ(without, "a photo without a bird on it");
  EXPECT_THROW(with_and_without(""), ConfigError);
  EXPECT_THROW(with_and_without("  "), ConfigError);
  EXPECT_THAT(class_prompts({"Black footed Albatross", "wren"}),
              ElementsAre("a photo of a Black footed Albatross", "a photo of a wren"));
}

}  // namespace
}  // namespace deda::diffusion
