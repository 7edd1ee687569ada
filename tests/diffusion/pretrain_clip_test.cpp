// `deda pretrain --clip` in small: it learns what the filters ask it, a run that is stopped again and again
// ends with the bytes of one that is not, its record proves it, and no folder of somebody's is written over.
#include "diffusion/pretraining/pretrain_clip.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "diffusion/peers/clip_filter.h"
#include "diffusion/pretraining/pretrain.h"
#include "models/clip/scorer.h"
#include "support/temporary_folder.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;

ClipPretrainConfig small_config() {
  ClipPretrainConfig config;
  config.per_class = 10;
  config.resolution = 16;
  config.steps = 250;  // past two checkpoints
  config.batch = 6;
  config.rate = 3e-3;
  return config;
}

// A red or a blue disc, or none, on grey of some lightness.
io::Image picture(std::int32_t kind, int number) {
  constexpr int side = 20;
  io::Image image(side, side + number % 3, 3);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const int dx = x - side / 2 + number % 4, dy = y - side / 2 + number % 5;
      std::uint8_t* pixel = image.row(y) + 3 * x;
      const bool disc = kind != no_object && dx * dx + dy * dy < side * side / 9;
      for (int c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>(disc ? 20 : 90 + 11 * (number % 7));
      if (disc) pixel[kind == 0 ? 0 : 2] = static_cast<std::uint8_t>(180 + 9 * (number % 6));
    }
  }
  return image;
}

ClipPretrainInput small_input(const ClipPretrainConfig& config) {
  ClipPretrainInput input;
  input.noun = "disc";
  input.class_names = {"red disc", "blue disc"};
  for (int i = 0; i < 3 * config.per_class; ++i) {
    input.classes.push_back(i % 3 - 1);
    input.pictures.push_back(picture(i % 3 - 1, i / 3));
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

TEST(PretrainClip, LearnsWhatTheFiltersAsk) {
  const test::TemporaryFolder folder;
  const auto config = small_config();
  const auto stages = pretrain_clip(small_input(config), config, folder / "clip");
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0].steps, config.steps);
  EXPECT_EQ(stages[0].first_losses.size(), static_cast<std::size_t>(first_steps));
  EXPECT_LT(stages[0].losses.back(), 0.3 * stages[0].losses.front());

  // Pictures of its kind that it has not seen, through the folder as anybody loads it.
  const models::ClipScorer scorer(folder / "clip");
  const std::vector<std::string> names{"red disc", "blue disc"};
  std::vector<io::Image> pictures;
  ScoredPictures said, shown;
  said.class_names = shown.class_names = names;
  for (int i = 0; i < 12; ++i) {
    pictures.push_back(picture(i % 3 - 1, 100 + i));
    said.classes.push_back(
        std::max(0, i % 3 - 1));  // what they are filed under: those that show nothing as red
  }
  said.classes[1] = 1;  // a red one filed under blue
  shown.classes = said.classes;
  const auto images = scorer.image_embeds(pictures);
  const auto of_class = scorer.probabilities(images, scorer.text_embeds(class_prompts(names)));
  const auto [with, without] = with_and_without("disc");
  const auto of_pair = scorer.probabilities(images, scorer.text_embeds({with, without}));
  for (std::int64_t i = 0; i < 12; ++i) {
    said.scores.push_back(of_class[i][said.classes[static_cast<std::size_t>(i)]].item<double>());
    shown.scores.push_back(of_pair[i][0].item<double>());
  }
  const auto above = keep_above_chance(said);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (i % 3 != 0) {
      EXPECT_EQ(above.kept[i], i != 1) << i << ": " << said.scores[i];
    }
  }
  // A third shows nothing: the lowest third is dropped.
  const auto lowest = drop_lowest(shown, 100.0 * 4 / 12);
  for (std::size_t i = 0; i < pictures.size(); ++i)
    EXPECT_EQ(lowest.kept[i], i % 3 != 0) << i << ": " << shown.scores[i];
  EXPECT_LT(fs::file_size(folder / "clip/model.safetensors"), std::uintmax_t{1} << 20);
}

TEST(PretrainClip, StoppedAndContinuedItEndsWithTheSameBytes) {
  const test::TemporaryFolder folder;
  const auto config = small_config();
  const auto input = small_input(config);
  const auto quiet = pretrain_clip(input, config, folder / "quiet");
  int stops = 0;
  std::vector<StageRecord> stages;
  for (auto patience = std::chrono::milliseconds(100); stages.empty(); patience = patience * 5 / 4) {
    std::atomic<bool> over = false;
    std::thread impatient([&] {
      const auto until = std::chrono::steady_clock::now() + patience;
      while (!over && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (!over) request_stop("a test");
    });
    try {
      stages = pretrain_clip(input, config, folder / "stopped");
    } catch (const Stopped&) {
      ++stops;
      EXPECT_FALSE(fs::exists(folder / "stopped")) << "half a model in its place";
    }
    over = true;
    impatient.join();
    clear_stop_request();
  }
  EXPECT_GE(stops, 1);
  EXPECT_EQ(files_of(folder / "stopped"), files_of(folder / "quiet"));
  EXPECT_FALSE(fs::exists(folder / "stopped.partial"));
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0].losses, quiet[0].losses);
  EXPECT_EQ(stages[0].first_losses, quiet[0].first_losses);
  EXPECT_EQ(stages[0].held_out, quiet[0].held_out);
}

TEST(PretrainClip, ItsRecordProvesIt) {
  const test::TemporaryFolder folder;
  auto config = small_config();
  config.steps = 12;
  auto input = small_input(config);
  pretrain_clip(input, config, folder / "clip");
  EXPECT_EQ(recorded_clip_pretraining(folder / "clip").steps, 12);
  EXPECT_THAT(verify_clip_pretraining(input, folder / "clip", folder / "again"), testing::IsEmpty());
  EXPECT_EQ(files_of(folder / "again"), files_of(folder / "clip"));
  // Other pictures, and another file.
  for (auto& picture : input.pictures)
    for (auto& value : picture.pixels) value = static_cast<std::uint8_t>(255 - value);
  write_atomically(folder / "clip/model.safetensors", read_text(folder / "again/model.safetensors") + " ");
  const auto problems = verify_clip_pretraining(input, folder / "clip", std::nullopt);
  ASSERT_GE(problems.size(), 2u);
  EXPECT_THAT(problems.front(), testing::HasSubstr("model.safetensors has xxhash64"));
  EXPECT_THAT(problems.back(), testing::HasSubstr("the loss of step"));
}

TEST(PretrainClip, WritesOverNothing) {
  const test::TemporaryFolder folder;
  auto config = small_config();
  config.steps = 2;
  const auto input = small_input(config);
  make_folder(folder / "other");
  write_atomically(folder / "other/config.json", "{}");
  EXPECT_THROW(pretrain_clip(input, config, folder / "other"), DataError);
  EXPECT_EQ(files_of(folder / "other").size(), 1u);
  // A diffusion model's folder is not a CLIP's, nor the other way round.
  EXPECT_FALSE(finished_clip_pretraining(config, folder / "own").has_value());
  pretrain_clip(input, config, folder / "own");
  const auto before = files_of(folder / "own");
  EXPECT_THROW(finished_pretraining({}, folder / "own"), DataError);
  EXPECT_EQ(pretrain_clip(input, config, folder / "own").size(), 1u) << "done already";
  config.seed = 8;
  EXPECT_THROW(pretrain_clip(input, config, folder / "own"), DataError);
  EXPECT_EQ(files_of(folder / "own"), before);
}

TEST(PretrainClip, RefusesPicturesThatTeachNothing) {
  const test::TemporaryFolder folder;
  const auto config = small_config();
  auto input = small_input(config);
  input.classes.pop_back();
  EXPECT_THROW(pretrain_clip(input, config, folder / "a"), DataError);
  input.classes.assign(input.pictures.size(), no_object);
  EXPECT_THROW(pretrain_clip(input, config, folder / "a"), DataError);
  input.classes.assign(input.pictures.size(), 2);
  EXPECT_THROW(pretrain_clip(input, config, folder / "a"), DataError);
  EXPECT_FALSE(fs::exists(folder / "a"));
}

}  // namespace
}  // namespace deda::diffusion
