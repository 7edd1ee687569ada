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

TEST(Results, TellTheMeanOfGroupsWhereItIsNotTheShareOfAll) {
  TrainingState state;
  state.best_epoch = 1;
  EpochRecord record;
  record.epoch = 1;
  record.scores = {{"all", 60, 100}, {"a", 50, 80}, {"b", 10, 20}, {"nobody", 0, 0}};
  state.history.push_back(record);
  const auto mean = summarise_mean_of_groups(state);
  ASSERT_TRUE(mean.has_value());
  EXPECT_DOUBLE_EQ(mean->best, 100 * (50.0 / 80 + 10.0 / 20) / 2);
  EXPECT_DOUBLE_EQ(mean->last, mean->best);
  EXPECT_EQ(mean->images, 100);
  EXPECT_DOUBLE_EQ(summarise(state, 0).last, 60) << "the count-weighted one";
  EXPECT_FALSE(mean_of_groups({{"all", 60, 100}}).has_value());
  EXPECT_FALSE(mean_of_groups({{"all", 60, 100}, {"a", 35, 50}, {"b", 25, 50}}).has_value());
  EXPECT_TRUE(mean_of_groups({{"all", 60, 100}, {"a", 35, 40}, {"b", 25, 40}}).has_value());
}

TEST(Results, CarryTheMetricsOfSeveralLabels) {
  TrainingState state;
  for (const double map : {0.25, 0.5}) {
    EpochRecord record;
    record.epoch = static_cast<std::int64_t>(state.history.size()) + 1;
    record.scores = {{"all", 1, 4}};
    record.metrics = {{"mAP", map}, {"F1 micro", 0.125}};
    state.history.push_back(record);
  }
  state.best_epoch = 1;
  const auto again = state_from_json(to_json(state), "here");
  EXPECT_EQ(to_json(again), to_json(state));
  const auto map = summarise_metric(again, "mAP");
  ASSERT_TRUE(map.has_value());
  EXPECT_DOUBLE_EQ(map->best, 25);
  EXPECT_DOUBLE_EQ(map->last, 50);
  EXPECT_DOUBLE_EQ(map->mean_last_10, 37.5);
  EXPECT_EQ(map->images, 4);
  EXPECT_FALSE(summarise_metric(again, "mAP 11-point").has_value());
  RunDescription run;
  run.groups = {"all"};
  run.objective = ObjectiveChoice::multi_label;
  EXPECT_EQ(
      history_csv(run, again),
      "epoch,learning_rate,loss,accuracy.all,metric.mAP,metric.mAP 11-point,metric.F1 micro,metric.F1 macro\n"
      "1,0,0,25.0000,25.0000,,12.5000,\n2,0,0,25.0000,50.0000,,12.5000,\n");
}

}  // namespace
}  // namespace deda::training
