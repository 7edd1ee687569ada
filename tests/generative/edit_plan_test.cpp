// Which edits a generative peer makes: numbers, laws of the draws, and what they do not depend on.
#include "generative/edit_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/error.h"

namespace deda::generative {
namespace {

std::vector<SourcePicture> pictures(int classes, int per_class) {
  std::vector<SourcePicture> all;
  for (int c = 0; c < classes; ++c) {
    for (int i = 0; i < per_class * (c + 1); ++i)  // classes of uneven sizes
      all.push_back({"c" + std::to_string(c) + "/" + std::to_string(i) + ".png", c});
  }
  return all;
}

// Below it with probability 0.999 where each of the cells is equally likely: the mean of chi-squared with
// cells - 1 degrees of freedom and 3.6 times its deviation.
double chi_squared_limit(std::size_t cells) {
  const double freedom = static_cast<double>(cells) - 1;
  return freedom + 3.6 * std::sqrt(2 * freedom) + 5;
}
template <class Key>
double chi_squared(const std::map<Key, int>& counts, std::size_t cells) {
  double all = 0, sum = 0;
  for (const auto& [key, count] : counts) all += count;
  const double expected = all / static_cast<double>(cells);
  for (const auto& [key, count] : counts) sum += (count - expected) * (count - expected) / expected;
  return sum + expected * static_cast<double>(cells - counts.size());
}

TEST(EditPlan, MakesCopiesOfEachPictureOfItsOwnClass) {
  for (const auto method : {Method::real_guidance, Method::da_fusion, Method::diffusemix}) {
    GenerationSettings settings(method);
    settings.copies = 4;
    const EditPlan plan(settings, pictures(3, 2), 7);
    ASSERT_EQ(plan.items(), 12);
    std::set<std::uint64_t> seeds;
    for (std::int64_t item = 0; item < plan.items(); ++item) {
      const auto tasks = plan.tasks(item);
      ASSERT_EQ(tasks.size(), 4u);
      for (std::size_t k = 0; k < tasks.size(); ++k) {
        EXPECT_EQ(tasks[k].source, static_cast<std::size_t>(item));
        EXPECT_EQ(tasks[k].source_class, plan.pictures()[tasks[k].source].class_id);
        EXPECT_EQ(tasks[k].target_class, tasks[k].source_class);
        EXPECT_EQ(tasks[k].version, static_cast<std::int32_t>(k + 1));
        EXPECT_TRUE(seeds.insert(tasks[k].seed).second);
      }
    }
  }
}

// Neither other pictures nor more copies change what a picture's first copies are.
TEST(EditPlan, EditsOfAPictureDependOnItAlone) {
  GenerationSettings few(Method::da_fusion), many = few;
  few.copies = 2;
  many.copies = 9;
  auto list = pictures(3, 2);
  const EditPlan all(many, list, 7);
  list.erase(list.begin(), list.begin() + 5);
  const EditPlan some(few, list, 7);
  for (std::int64_t item = 0; item < some.items(); ++item) {
    const auto a = some.tasks(item), b = all.tasks(item + 5);
    for (std::size_t k = 0; k < a.size(); ++k) {
      EXPECT_EQ(a[k].seed, b[k].seed);
      EXPECT_EQ(a[k].strength, b[k].strength);
    }
  }
  const EditPlan other_seed(few, list, 8);
  EXPECT_NE(some.tasks(0)[0].seed, other_seed.tasks(0)[0].seed);
}

TEST(EditPlan, DrawsStrengthsUniformly) {
  GenerationSettings settings(Method::da_fusion);
  settings.copies = 10;
  const EditPlan plan(settings, pictures(4, 100), 3);
  std::map<double, int> counts;
  for (std::int64_t item = 0; item < plan.items(); ++item) {
    for (const auto& task : plan.tasks(item)) ++counts[task.strength];
  }
  ASSERT_EQ(counts.size(), 4u);
  EXPECT_LT(chi_squared(counts, 4), chi_squared_limit(4));
}

TEST(EditPlan, StylesOfAPictureDifferAndBothJoinsComeEquallyOften) {
  GenerationSettings settings(Method::diffusemix);
  settings.copies = 9;
  const EditPlan plan(settings, pictures(4, 100), 3);
  std::map<std::size_t, int> first;
  std::map<bool, int> vertical;
  for (std::int64_t item = 0; item < plan.items(); ++item) {
    std::set<std::size_t> styles;
    const auto tasks = plan.tasks(item);
    for (const auto& task : tasks) {
      EXPECT_TRUE(styles.insert(task.prompt).second) << "nine styles for nine copies";
      ++vertical[task.vertical];
    }
    ++first[tasks.front().prompt];
  }
  EXPECT_LT(chi_squared(first, 9), chi_squared_limit(9));
  EXPECT_LT(chi_squared(vertical, 2), chi_squared_limit(2));
}

TEST(EditPlan, PairsClassesUniformlyHoweverManyPicturesTheyHave) {
  GenerationSettings settings(Method::diff_mix);
  settings.copies = 20;
  const EditPlan plan(settings, pictures(4, 50), 3);
  ASSERT_EQ(plan.items(), 20 * 500);
  std::map<std::pair<std::int32_t, std::int32_t>, int> pairs;
  std::map<std::size_t, int> sources;
  std::map<double, int> strengths;
  for (std::int64_t item = 0; item < plan.items(); ++item) {
    const auto tasks = plan.tasks(item);
    ASSERT_EQ(tasks.size(), 1u);
    const auto& task = tasks.front();
    EXPECT_EQ(plan.source_of(item), task.source);
    EXPECT_EQ(task.source_class, plan.pictures()[task.source].class_id);
    EXPECT_EQ(task.version, 1);
    ++pairs[{task.source_class, task.target_class}];
    if (task.source_class == 0) ++sources[task.source];
    ++strengths[task.strength];
  }
  EXPECT_LT(chi_squared(pairs, 16), chi_squared_limit(16));
  EXPECT_LT(chi_squared(sources, 50), chi_squared_limit(50));
  EXPECT_LT(chi_squared(strengths, 3), chi_squared_limit(3));
}

// Source: the table of Diff-Mix's label weights at gamma 0.8 and 0.5.
TEST(EditPlan, SharesTheLabelByStrength) {
  EXPECT_NEAR(target_share(0, 1, 0.5, 0.8), 0.5743, 5e-5);
  EXPECT_NEAR(target_share(0, 1, 0.7, 0.8), 0.7518, 5e-5);
  EXPECT_NEAR(target_share(0, 1, 0.9, 0.8), 0.9192, 5e-5);
  EXPECT_NEAR(target_share(0, 1, 0.7, 0.5), 0.8367, 5e-5);
  EXPECT_EQ(target_share(2, 2, 0.5, 0.8), 1.0);
}

TEST(EditPlan, RefusesNothingToDrawFrom) {
  GenerationSettings settings(Method::real_guidance);
  EXPECT_THROW(EditPlan(settings, {}, 1), DataError);
  settings.strengths.clear();
  EXPECT_THROW(EditPlan(settings, pictures(1, 1), 1), ConfigError);
  GenerationSettings styles(Method::diffusemix);
  styles.prompts.clear();
  EXPECT_THROW(EditPlan(styles, pictures(1, 1), 1), ConfigError);
}

}  // namespace
}  // namespace deda::generative
