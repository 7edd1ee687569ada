// Which training pictures are held out: a share of each class, the same whoever asks, never all of a class.
#include "data/held_out.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

namespace deda::data {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// `sizes[c]` training pictures of class c, classes in turn, and two test pictures of each.
Dataset made_up(const std::vector<int>& sizes) {
  Dataset dataset;
  for (std::size_t id = 0; id < sizes.size(); ++id)
    dataset.class_names.push_back("class " + std::to_string(id));
  for (int i = 0; i < *std::max_element(sizes.begin(), sizes.end()); ++i) {
    for (std::size_t id = 0; id < sizes.size(); ++id) {
      if (i >= sizes[id]) continue;
      Item item;
      item.path = std::to_string(id) + "/" + std::to_string(i) + ".png";
      item.class_id = static_cast<std::int32_t>(id);
      dataset.items.push_back(item);
      if (i >= 2) continue;
      item.path = "test/" + item.path;
      item.split = Split::test;
      dataset.items.push_back(item);
    }
  }
  return dataset;
}

std::vector<int> held_out_of(const Dataset& dataset) {
  std::vector<int> counts(dataset.class_names.size(), 0);
  for (const Item& item : dataset.items)
    counts[static_cast<std::size_t>(item.class_id)] += item.split == Split::held_out;
  return counts;
}

std::set<std::string> paths(const Dataset& dataset, Split split = Split::held_out) {
  std::set<std::string> found;
  for (const std::size_t i : dataset.indices(split)) found.insert(dataset.items[i].path);
  return found;
}

std::set<std::string> held_out(const std::vector<int>& sizes, double share, std::uint64_t seed) {
  auto dataset = made_up(sizes);
  hold_out(dataset, share, seed);
  return paths(dataset);
}

TEST(HeldOut, IsAShareOfEachClassThatLeavesOne) {
  auto dataset = made_up({20, 10, 3, 2, 1});
  const auto tests = paths(dataset, Split::test);
  const auto told = hold_out(dataset, 0.25, 1);
  EXPECT_THAT(held_out_of(dataset), ElementsAre(5, 3, 1, 1, 0)) << "rounded, one at least";
  EXPECT_EQ(told.pictures, 10u);
  EXPECT_THAT(told.classes_without, ElementsAre("class 4"));
  EXPECT_EQ(dataset.indices(Split::train).size(), 26u);
  EXPECT_EQ(paths(dataset, Split::test), tests);

  auto nearly_all = made_up({20, 2, 1});
  hold_out(nearly_all, 0.999, 1);
  EXPECT_THAT(held_out_of(nearly_all), ElementsAre(19, 1, 0));
}

TEST(HeldOut, IsNothingWithoutAShare) {
  auto dataset = made_up({5, 1});
  const auto told = hold_out(dataset, 0, 1);
  EXPECT_EQ(told.pictures, 0u);
  EXPECT_THAT(told.classes_without, IsEmpty());
  EXPECT_EQ(dataset.indices(Split::train).size(), 6u);
}

TEST(HeldOut, FollowsFromSeedClassAndListAlone) {
  const auto chosen = held_out({30, 30}, 0.2, 1);
  EXPECT_EQ(held_out({30, 30}, 0.2, 1), chosen);
  EXPECT_NE(held_out({30, 30}, 0.2, 2), chosen);
  // Another class's pictures change nothing.
  const auto of_first = [](std::set<std::string> all) {
    std::erase_if(all, [](const std::string& path) { return !path.starts_with("0/"); });
    return all;
  };
  EXPECT_EQ(of_first(held_out({30, 7}, 0.2, 1)), of_first(chosen));
  // A larger share holds out the same pictures and more.
  const auto more = held_out({30, 30}, 0.4, 1);
  EXPECT_EQ(more.size(), 24u);
  EXPECT_TRUE(std::includes(more.begin(), more.end(), chosen.begin(), chosen.end()));
}

TEST(HeldOut, LeavesPicturesWithoutAClassInTraining) {
  auto dataset = made_up({4});
  for (int i = 0; i < 4; ++i) {
    Item item;
    item.path = "unknown/" + std::to_string(i) + ".png";
    dataset.items.push_back(item);
  }
  EXPECT_EQ(hold_out(dataset, 0.5, 1).pictures, 2u);
  for (std::size_t i = dataset.items.size() - 4; i < dataset.items.size(); ++i)
    EXPECT_EQ(dataset.items[i].split, Split::train);
}

}  // namespace
}  // namespace deda::data
