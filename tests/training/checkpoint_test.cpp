// Checkpoints: what comes back, what is kept, and what happens to damaged ones.
#include "training/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/files.h"
#include "core/log.h"

namespace deda::training {
namespace {

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    set_up_log(0, 1, LogLevel::error);  // damaged checkpoints are warned about by the hundred here
    folder_ = fs::temp_directory_path() / ("deda-checkpoint-test-" + std::to_string(::getpid())) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static Checkpoint make(std::int64_t epoch, std::int64_t step = 0) {
    Checkpoint checkpoint;
    checkpoint.state.key = "abc";
    checkpoint.state.epoch = epoch;
    checkpoint.state.step = step;
    checkpoint.state.best_accuracy = 0.5;
    checkpoint.state.history.push_back(
        {.epoch = epoch, .learning_rate = 0.01, .loss = 1.5, .scores = {{"all", 3, 4}}});
    checkpoint.tensors["model.fc.weight"] = at::full({3, 2}, static_cast<double>(epoch), at::kFloat);
    checkpoint.tensors["model.bn.num_batches_tracked"] = at::tensor(epoch, at::kLong);
    return checkpoint;
  }
  std::int64_t newest_epoch(const CheckpointFolder& folder) {
    const auto found = folder.newest();
    return found ? found->state.epoch : -1;
  }
  fs::path folder_;
};

TEST_F(CheckpointTest, ComesBackAsItWas) {
  const CheckpointFolder folder(folder_, 2);
  EXPECT_FALSE(folder.newest().has_value());
  folder.save(make(7, 3));
  const auto found = folder.newest();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->state.key, "abc");
  EXPECT_EQ(found->state.epoch, 7);
  EXPECT_EQ(found->state.step, 3);
  ASSERT_EQ(found->state.history.size(), 1u);
  EXPECT_EQ(found->state.history[0].scores.at(0).correct, 3);
  EXPECT_TRUE(at::equal(found->tensors.at("model.fc.weight"), at::full({3, 2}, 7.0)));
  EXPECT_EQ(found->tensors.at("model.bn.num_batches_tracked").item<std::int64_t>(), 7);
}

TEST_F(CheckpointTest, KeepsTheNewestTwo) {
  const CheckpointFolder folder(folder_, 2);
  for (const std::int64_t epoch : {1, 2, 3, 11}) folder.save(make(epoch));
  ASSERT_EQ(folder.files().size(), 2u);
  EXPECT_EQ(newest_epoch(folder), 11);
}

TEST_F(CheckpointTest, CutAnywhereIsPassedOverForTheOneBefore) {
  const CheckpointFolder folder(folder_, 2);
  folder.save(make(1));
  folder.save(make(2));
  const auto newest = folder.files().front();
  const auto whole = read_bytes(newest);
  for (std::size_t kept = 0; kept < whole.size(); kept += 37) {
    std::ofstream(newest, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(whole.data()), static_cast<std::streamsize>(kept));
    EXPECT_EQ(newest_epoch(folder), 1) << "cut to " << kept << " of " << whole.size() << " bytes";
  }
}

TEST_F(CheckpointTest, WithOneFlippedBitIsPassedOverForTheOneBefore) {
  const CheckpointFolder folder(folder_, 2);
  folder.save(make(1));
  folder.save(make(2));
  const auto newest = folder.files().front();
  const auto whole = read_bytes(newest);
  std::size_t unharmed = 0;
  for (std::size_t at = 0; at < whole.size(); at += 5) {
    auto damaged = whole;
    damaged[at] ^= 0x10;
    std::ofstream(newest, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(damaged.data()), static_cast<std::streamsize>(damaged.size()));
    const auto found = folder.newest();
    ASSERT_TRUE(found.has_value());
    if (found->state.epoch == 1) continue;
    // A flip in the padding of the header harms nothing; then everything must be as written.
    ++unharmed;
    EXPECT_TRUE(at::equal(found->tensors.at("model.fc.weight"), at::full({3, 2}, 2.0))) << "byte " << at;
  }
  EXPECT_LE(unharmed, 2u);
}

TEST_F(CheckpointTest, LeftoversOfAKilledWriteAreIgnored) {
  const CheckpointFolder folder(folder_, 2);
  folder.save(make(4));
  std::ofstream(folder_ / "checkpoint-000005-00000000.safetensors.partial.77") << "half";
  std::ofstream(folder_ / "notes.txt") << "mine";
  EXPECT_EQ(newest_epoch(folder), 4);
  EXPECT_EQ(folder.files().size(), 1u);
  folder.save(make(5));
  EXPECT_FALSE(fs::exists(folder_ / "checkpoint-000005-00000000.safetensors.partial.77"));
  EXPECT_TRUE(fs::exists(folder_ / "notes.txt"));
}

TEST_F(CheckpointTest, SurvivesItsWriterBeingKilledAtAnyMoment) {
  const CheckpointFolder folder(folder_, 2);
  folder.save(make(1));
  std::int64_t reached = 1;
  for (int round = 0; round < 12; ++round) {
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      for (std::int64_t epoch = reached + 1;; ++epoch) folder.save(make(epoch));
    }
    ::usleep(static_cast<useconds_t>(2000 + 1700 * round));
    ::kill(writer, SIGKILL);
    ::waitpid(writer, nullptr, 0);
    const auto found = folder.newest();
    ASSERT_TRUE(found.has_value()) << "round " << round;
    EXPECT_GE(found->state.epoch, reached) << "what was finished got lost";
    EXPECT_TRUE(at::equal(found->tensors.at("model.fc.weight"),
                          at::full({3, 2}, static_cast<double>(found->state.epoch))));
    reached = found->state.epoch;
  }
  EXPECT_GT(reached, 1) << "no writer got anywhere: nothing was tested";
}

TEST_F(CheckpointTest, IsUntouchedWhenTheNextOneCannotBeWritten) {
  const CheckpointFolder folder(folder_, 2);
  folder.save(make(4));
  // A folder of the same name stands in the way of the rename.
  fs::create_directories(folder_ / "checkpoint-000005-00000000.safetensors" / "in-the-way");
  EXPECT_THROW(folder.save(make(5)), std::exception);
  EXPECT_EQ(newest_epoch(folder), 4);
}

}  // namespace
}  // namespace deda::training
