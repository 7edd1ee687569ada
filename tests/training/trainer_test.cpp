// Stopping and continuing at any step and with another number of ranks, damaged checkpoints, numbers gone
// bad, data that fails on one rank.
#include "training/trainer.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "models/weights/tensor_file.h"
#include "training/checkpoint.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

TEST_F(TrainerTest, StoppedAnywhereAndContinuedEndsWithTheBytesOfAnUndisturbedRun) {
  const auto quiet = request("quiet", 2), stopped = request("stopped", 2);
  run(ranks_, quiet);
  auto disturbed = stopped;
  std::vector<Visit> visits;
  // In the middle of an epoch, at the end of one, and in the last one.
  for (const auto& [epoch, step] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {1, 2}, {2, 0}}) {
    try {
      run(ranks_, disturbed, {.stop_epoch = epoch, .stop_step = step}, &visits);
      ADD_FAILURE() << "not stopped at " << epoch << " " << step;
    } catch (const Stopped& error) {
      EXPECT_THAT(error.what(), HasSubstr("stopped at epoch " + std::to_string(epoch)));
    }
    clear_stop_request();
    EXPECT_FALSE(finished_run(disturbed.folder, disturbed.run.made_of.key).has_value());
  }
  run(ranks_, disturbed, {}, &visits);
  EXPECT_EQ(gathered(visits), expected_visits(2));
  if (!ranks_.is_root()) return;
  EXPECT_EQ(bytes_of("stopped", "history.csv"), bytes_of("quiet", "history.csv"));
  const auto a = models::read_tensors(quiet.folder / "last.safetensors"),
             b = models::read_tensors(stopped.folder / "last.safetensors");
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

TEST_F(TrainerTest, InFp16ContinuesWithTheLossScaleWhereItStoppedAndTellsOfSkippedSteps) {
  auto quiet = request("quiet", 4), stopped = request("stopped", 4);
  for (auto* order : {&quiet, &stopped}) {
    order->config.precision = Precision::fp16;
    order->config.loss_scale = 0x1p127;  // gradients above 2 overflow float32, in which CPUs compute
    order->config.loss_scale_interval = 3;
    order->run.made_of.key = "one key";
  }
  const auto state = run(ranks_, quiet);
  EXPECT_THROW(run(ranks_, stopped, {.stop_epoch = 1, .stop_step = 1}), Stopped);
  clear_stop_request();
  EXPECT_THROW(run(ranks_, stopped, {.stop_epoch = 3, .stop_step = 2}), Stopped);
  clear_stop_request();
  const auto continued = run(ranks_, stopped);
  ASSERT_TRUE(state.loss_scale.has_value());
  EXPECT_GE(state.loss_scale->skipped, 1);
  EXPECT_LT(state.loss_scale->skipped, 12);
  EXPECT_EQ(continued.loss_scale->skipped, state.loss_scale->skipped);
  EXPECT_EQ(continued.loss_scale->scale, state.loss_scale->scale);
  if (!ranks_.is_root()) return;
  for (const char* file : {"history.csv", "last.safetensors"})
    EXPECT_EQ(bytes_of("stopped", file), bytes_of("quiet", file)) << file;
  const auto results = nlohmann::json::parse(read_text(stopped.folder / "results.json"));
  EXPECT_EQ(results.at("loss_scaling").at("skipped_steps"), state.loss_scale->skipped);
  EXPECT_EQ(results.at("loss_scaling").at("scale"), state.loss_scale->scale);
  EXPECT_EQ(results.at("loss_scaling").at("steps"), 12);
}

TEST_F(TrainerTest, ADroppedLastBatchMakesNoStepAndIsTold) {
  auto order = request("drops", 2);
  order.config.last_batch = LastBatch::drop;
  const auto state = train(ranks_, order, test::made_up_training(ranks_, 21, batch_size),
                           test::made_up_tests(ranks_, tests));
  EXPECT_EQ(state.global_step, 4);
  EXPECT_DOUBLE_EQ(state.history[1].images_per_s * state.history[1].seconds, 16);
  if (!ranks_.is_root()) return;
  const auto results = nlohmann::json::parse(read_text(order.folder / "results.json"));
  EXPECT_EQ(results.at("left_out_per_epoch"), 5);
  EXPECT_TRUE(results.at("finished"));
}

TEST_F(TrainerTest, ContinuesWithAnotherNumberOfRanksOnTheSameSamples) {
  const auto order = request("regrouped", 2);
  std::vector<Visit> visits;
  EXPECT_THROW(run(ranks_, order, {.stop_epoch = 1, .stop_step = 1}, &visits), Stopped);
  clear_stop_request();
  ranks_.barrier("stopped");
  if (ranks_.is_root()) {
    const auto state = run(Communicator::self(), order, {}, &visits);
    EXPECT_EQ(state.history.size(), 2u);
    EXPECT_EQ(nlohmann::json::parse(read_text(order.folder / "results.json")).at("ranks"), 1);
  }
  EXPECT_EQ(gathered(visits), expected_visits(2));
}

TEST_F(TrainerTest, EvaluatesHeldOutPicturesWithoutTheirHavingAPart) {
  const auto alone = request("alone", 3);
  auto order = request("with held-out pictures", 3);
  order.config.evaluate_every = 2;
  order.run.held_out = 0.2;
  order.run.made_of.key = alone.run.made_of.key;  // weights name it
  const auto train_with_held_out = [&](const TrainRequest& request, test::Incidents incidents = {}) {
    auto held_out = test::made_up_tests(ranks_, 7);
    return train(ranks_, request, test::made_up_training(ranks_, pictures, batch_size, incidents),
                 test::made_up_tests(ranks_, tests), held_out);
  };
  run(ranks_, alone);
  auto stopped = order;
  stopped.folder = folder_ / "stopped";
  const auto state = train_with_held_out(order);
  EXPECT_THROW(train_with_held_out(stopped, {.stop_epoch = 3, .stop_step = 1}), Stopped);
  clear_stop_request();
  train_with_held_out(stopped);
  ASSERT_EQ(state.history.size(), 3u);
  EXPECT_FALSE(state.history[0].held_out.has_value()) << "evaluated with the test pictures alone";
  ASSERT_TRUE(state.history[1].held_out.has_value());
  EXPECT_EQ(state.history[1].held_out->total, 7);
  if (!ranks_.is_root()) return;
  EXPECT_EQ(bytes_of("with held-out pictures", "last.safetensors"), bytes_of("alone", "last.safetensors"));
  EXPECT_EQ(bytes_of("stopped", "history.csv"), bytes_of("with held-out pictures", "history.csv"));
  const auto history = read_text(order.folder / "history.csv");
  EXPECT_THAT(history, HasSubstr("loss,accuracy.all,accuracy.even,held_out_accuracy\n"));
  EXPECT_THAT(read_text(alone.folder / "history.csv"), Not(HasSubstr("held_out")));
  const auto results = nlohmann::json::parse(read_text(order.folder / "results.json")).at("held_out");
  EXPECT_EQ(results.at("share"), 0.2);
  EXPECT_EQ(results.at("images"), 7);
  EXPECT_DOUBLE_EQ(results.at("last").get<double>(), percent * state.history[2].held_out->accuracy());
  EXPECT_TRUE(nlohmann::json::parse(read_text(alone.folder / "results.json")).at("held_out").is_null());
}

TEST_F(TrainerTest, WithADamagedCheckpointGoesBackToTheOneBeforeAndEndsTheSame) {
  auto order = request("damaged", 2);
  order.config.keep_finished_checkpoints = true;  // as if killed just before the end
  run(ranks_, order);
  const auto expected = bytes_of("damaged", "last.safetensors");
  ranks_.barrier("read");
  if (ranks_.is_root()) {
    const auto files = CheckpointFolder(order.folder, 2).files();
    ASSERT_EQ(files.size(), 2u);
    fs::resize_file(files.front(), fs::file_size(files.front()) / 2);
    fs::remove(order.folder / "last.safetensors");
  }
  ranks_.barrier("damaged");
  std::vector<Visit> visits;
  run(ranks_, order, {}, &visits);
  EXPECT_EQ(gathered(visits).front().epoch, 2) << "continued after the first epoch";
  EXPECT_EQ(bytes_of("damaged", "last.safetensors"), expected);
}

TEST_F(TrainerTest, LeavesNoCheckpointOfAFinishedRunUnlessAsked) {
  const auto kept = [&](const TrainRequest& request) {
    ranks_.barrier("looking");
    return CheckpointFolder(request.folder, 2).files().size();
  };
  auto order = request("tidy", 2), keeping = request("keeping", 2);
  keeping.config.keep_finished_checkpoints = true;
  keeping.run.made_of.key = order.run.made_of.key;  // weights name it
  EXPECT_THROW(run(ranks_, order, {.stop_epoch = 2, .stop_step = 1}), Stopped);
  clear_stop_request();
  EXPECT_GT(kept(order), 0u) << "a stopped run needs them";
  run(ranks_, order);
  run(ranks_, keeping);
  EXPECT_EQ(kept(order), 0u);
  EXPECT_EQ(kept(keeping), 2u);
  for (const char* file : {"best.safetensors", "last.safetensors", "history.csv"})
    EXPECT_EQ(bytes_of("tidy", file), bytes_of("keeping", file)) << file;
  EXPECT_TRUE(finished_run(order.folder, order.run.made_of.key).has_value());
  ranks_.barrier("looked");
  if (ranks_.is_root()) remove_checkpoints(keeping.folder);
  EXPECT_EQ(kept(keeping), 0u);
  EXPECT_TRUE(finished_run(keeping.folder, keeping.run.made_of.key).has_value());
}

TEST_F(TrainerTest, StopsWithANameWhenTheLossIsNoNumberAnyMore) {
  auto order = request("broken", 2);
  order.config.learning_rate = 1e9;
  std::string message;
  try {
    run(ranks_, order);
  } catch (const ModelError& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("epoch 1"));
  EXPECT_THAT(message, HasSubstr("learning_rate"));
  const auto results = nlohmann::json::parse(read_text(order.folder / "results.json"));
  EXPECT_EQ(results.at("finished"), false);
  EXPECT_THAT(results.at("failure").get<std::string>(), HasSubstr("epoch 1"));
  EXPECT_FALSE(finished_run(order.folder, order.run.made_of.key).has_value());
  EXPECT_TRUE(CheckpointFolder(order.folder, 2).files().empty()) << "bad numbers were saved";
}

TEST_F(TrainerTest, DataThatFailsOnOneRankEndsAllRanksWithItsMessage) {
  const auto order = request("unreadable", 1);
  const bool mine = ranks_.rank() == ranks_.size() - 1;
  try {
    run(ranks_, order, mine ? test::Incidents{.fail_epoch = 1, .fail_step = 1} : test::Incidents{});
    ADD_FAILURE() << "no error";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("picture 7 is broken"));
  }
}

}  // namespace
}  // namespace deda::training
