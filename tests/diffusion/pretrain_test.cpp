// `deda pretrain` in small: a run that is stopped again and again ends with the bytes of one that is not, and
// no folder of somebody's is written over.
#include "diffusion/pretraining/pretrain.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "support/temporary_folder.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;

PretrainConfig small_config() {
  PretrainConfig config;
  config.per_class = 10;
  config.resolution = 32;
  config.autoencoder_steps = 150;  // past a checkpoint in the middle
  config.transparent_steps = 60;
  config.unet_steps = 60;
  config.autoencoder_batch = config.transparent_batch = config.unet_batch = 2;
  return config;
}

// Discs of two colours on nothing.
PretrainInput small_input(const PretrainConfig& config) {
  PretrainInput input;
  input.noun = "disc";
  input.class_names = {"red disc", "blue disc"};
  const int side = static_cast<int>(config.resolution);
  for (int i = 0; i < 2 * config.per_class; ++i) {
    io::Image picture(side, side, 4);
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const int dx = x - side / 2, dy = y - side / 2 + i % 5;
        std::uint8_t* pixel = picture.row(y) + 4 * x;
        pixel[i % 2 == 0 ? 0 : 2] = static_cast<std::uint8_t>(150 + 5 * i);
        pixel[3] = dx * dx + dy * dy < side * side / 9 ? 255 : 0;
      }
    }
    input.cdps.push_back(std::move(picture));
    input.classes.push_back(i % 2);
  }
  return input;
}

// All files but the record, which holds seconds.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != "training.json")
      files[entry.path().lexically_relative(folder).string()] = read_text(entry.path());
  }
  return files;
}

TEST(Pretrain, StoppedAndContinuedItEndsWithTheSameBytes) {
  const test::TemporaryFolder folder;
  const auto config = small_config();
  const auto input = small_input(config);
  const auto quiet = pretrain(input, config, folder / "quiet");
  int stops = 0;
  std::vector<StageRecord> stages;
  for (auto patience = std::chrono::milliseconds(200); stages.empty(); patience = patience * 5 / 4) {
    std::atomic<bool> over = false;
    std::thread impatient([&] {
      const auto until = std::chrono::steady_clock::now() + patience;
      while (!over && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (!over) request_stop("a test");
    });
    try {
      stages = pretrain(input, config, folder / "stopped");
    } catch (const Stopped&) {
      ++stops;
      EXPECT_FALSE(fs::exists(folder / "stopped")) << "half a model in its place";
    }
    over = true;
    impatient.join();
    clear_stop_request();
  }
  EXPECT_GE(stops, 2);
  EXPECT_EQ(files_of(folder / "stopped"), files_of(folder / "quiet"));
  EXPECT_FALSE(fs::exists(folder / "stopped.partial"));
  ASSERT_EQ(stages.size(), quiet.size());
  for (std::size_t i = 0; i < stages.size(); ++i) {
    EXPECT_EQ(stages[i].losses, quiet[i].losses) << stages[i].name;
    EXPECT_EQ(stages[i].first_losses, quiet[i].first_losses) << stages[i].name;
    EXPECT_EQ(stages[i].held_out, quiet[i].held_out) << stages[i].name;
  }
}

TEST(Pretrain, WritesOverNothing) {
  const test::TemporaryFolder folder;
  auto config = small_config();
  config.autoencoder_steps = config.transparent_steps = config.unet_steps = 2;
  const auto input = small_input(config);
  make_folder(folder / "other");
  write_atomically(folder / "other/model_index.json", "{}");
  EXPECT_THROW(pretrain(input, config, folder / "other"), DataError);
  EXPECT_EQ(files_of(folder / "other").size(), 1u);

  EXPECT_FALSE(finished_pretraining(config, folder / "own").has_value());
  pretrain(input, config, folder / "own");
  const auto before = files_of(folder / "own");
  ASSERT_TRUE(finished_pretraining(config, folder / "own").has_value());
  EXPECT_EQ(pretrain(input, config, folder / "own").size(), 3u) << "done already";
  config.seed = 8;
  EXPECT_THROW(pretrain(input, config, folder / "own"), DataError);
  EXPECT_EQ(files_of(folder / "own"), before);
}

}  // namespace
}  // namespace deda::diffusion
