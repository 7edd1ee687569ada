// What a history comes to: for the test pictures at the epoch that is best for them, for held-out ones at
// theirs.
#include "training/results.h"

#include <gtest/gtest.h>

namespace deda::training {
namespace {

// Of ten pictures each so many were right; -1: not evaluated.
TrainingState state_of(const std::vector<std::pair<int, int>>& test_and_held_out) {
  TrainingState state;
  for (const auto& [test, held_out] : test_and_held_out) {
    EpochRecord record;
    record.epoch = static_cast<std::int64_t>(state.history.size()) + 1;
    if (test >= 0) record.scores = {{"all", test, 10}};
    if (held_out >= 0) record.held_out = GroupScore{"all", held_out, 10};
    state.history.push_back(record);
  }
  return state;
}

TEST(Results, OfHeldOutPicturesHaveTheirOwnBestEpoch) {
  auto state = state_of({{-1, -1}, {4, 7}, {9, 5}, {8, 7}});
  state.best_epoch = 3;
  const auto tests = summarise(state, 0);
  EXPECT_DOUBLE_EQ(tests.best, 90);
  EXPECT_DOUBLE_EQ(tests.last, 80);
  const auto held_out = summarise_held_out(state);
  ASSERT_TRUE(held_out.has_value());
  EXPECT_DOUBLE_EQ(held_out->accuracy.best, 70);
  EXPECT_EQ(held_out->best_epoch, 2) << "the first of equal ones";
  EXPECT_DOUBLE_EQ(held_out->accuracy.last, 70);
  EXPECT_NEAR(held_out->accuracy.mean_last_10, 100 * (0.7 + 0.5 + 0.7) / 3, 1e-9);
  EXPECT_EQ(held_out->accuracy.images, 10);
  EXPECT_FALSE(summarise_held_out(state_of({{4, -1}})).has_value());
  EXPECT_EQ(summarise_held_out(state_of({{-1, 0}}))->best_epoch, 1) << "none right is a result too";
}

TEST(Results, StateCarriesHeldOutScores) {
  const auto state = state_of({{4, 7}, {5, -1}});
  const auto again = state_from_json(to_json(state), "here");
  ASSERT_TRUE(again.history[0].held_out.has_value());
  EXPECT_EQ(again.history[0].held_out->correct, 7);
  EXPECT_FALSE(again.history[1].held_out.has_value());
  EXPECT_EQ(to_json(again), to_json(state));
}

}  // namespace
}  // namespace deda::training
