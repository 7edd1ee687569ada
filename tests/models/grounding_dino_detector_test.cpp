// What stands before and behind GroundingDINO, against transformers (tests/golden/grounding_dino.py), and the
// detector of whole folders.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "core/error.h"
#include "io/pictures/resize.h"
#include "models/grounding_dino/detector.h"
#include "models/made_up_grounding_dino.h"
#include "models/text/bert_tokenizer.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

const fs::path vocabulary = test::test_data() / "tokenizers/bert_uncased/vocab.txt";

io::Image picture(int height, int width, int channels = 3, std::uint64_t seed = 1) {
  io::Image image(height, width, channels);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(256 * test::hashed_number(seed, i / 64));
  return image;
}

TEST(GroundingDinoSize, EqualsBothPrograms) {
  const GroundingDinoPictureConfig published;
  GroundingDinoPictureConfig small;
  small.shortest_edge = 64;
  small.longest_edge = 100;
  for (const auto& row : test::grounding_dino_golden().at("sizes")) {
    const auto height = row["height"].get<std::int64_t>(), width = row["width"].get<std::int64_t>();
    for (const auto& [config, key] : {std::pair{published, "size"}, {small, "small"}}) {
      const auto expected = row[key].get<std::vector<std::int64_t>>();
      const auto size = grounding_dino_size(height, width, config, GroundingDinoRules::transformers);
      EXPECT_EQ(size.height, std::max<std::int64_t>(expected[0], 1)) << height << "x" << width;
      EXPECT_EQ(size.width, std::max<std::int64_t>(expected[1], 1)) << height << "x" << width;
      EXPECT_EQ(size.clamped, expected[0] == 0 || expected[1] == 0);
    }
  }
  // Acceptance test T3: where the two programs differ.
  const auto original = grounding_dino_size(250, 500, published, GroundingDinoRules::original);
  EXPECT_EQ(original.height, 666);
  EXPECT_EQ(original.width, 1332);
  const auto same = grounding_dino_size(333, 500, published, GroundingDinoRules::original);
  EXPECT_EQ(same.width, 1201);
  EXPECT_THROW(grounding_dino_size(0, 5, published, GroundingDinoRules::original), DataError);
}

TEST(GroundingDinoPixels, AreResizedAndNormalised) {
  const GroundingDinoPictureConfig config;
  const auto source = picture(20, 30);
  const auto pixels = grounding_dino_pixels(source, {40, 60, false}, config);
  ASSERT_EQ(pixels.sizes(), at::IntArrayRef({3, 40, 60}));
  const auto resized = io::resize(source, 40, 60);
  for (const int channel : {0, 1, 2}) {
    const auto c = static_cast<std::size_t>(channel);
    const double value = resized.row(7)[11 * 3 + channel];
    EXPECT_NEAR(pixels[channel][7][11].item<double>(), (value / 255 - config.mean[c]) / config.deviation[c],
                1e-6);
  }
  // Alpha is passed over, grey stands for all three.
  EXPECT_EQ(grounding_dino_pixels(picture(5, 5, 4), {5, 5, false}, config).size(0), 3);
  const auto grey = grounding_dino_pixels(picture(5, 5, 1), {5, 5, false}, config);
  EXPECT_NEAR((grey[0][2][2].item<double>() * 0.229 + 0.485), (grey[2][2][2].item<double>() * 0.225 + 0.406),
              1e-6);
}

TEST(GroundingDinoPrompt, IsLowerCaseAndEndsWithADot) {
  EXPECT_EQ(grounding_dino_prompt("Bird"), "bird.");
  EXPECT_EQ(grounding_dino_prompt("  A Cat. A remote Control. \n"), "a cat. a remote control.");
  EXPECT_EQ(grounding_dino_prompt("\xc3\x89tourneau"), "\xc3\xa9tourneau.");
  EXPECT_EQ(grounding_dino_prompt(std::vector<std::string>{"A cat", " dog "}), "a cat. dog.");
  EXPECT_EQ(grounding_dino_prompt("bird?"), "bird?.");
  for (const std::string nothing : {"", " ", ".", " . ? ."})
    EXPECT_THROW(grounding_dino_prompt(nothing), ConfigError);
}

TEST(GroundedBoxes, EqualTransformersPostProcessing) {
  if (!fs::exists(vocabulary)) GTEST_SKIP() << "no vocabulary at " << vocabulary.string();
  const auto tokenizer = BertTokenizer::from_folder(vocabulary);
  const auto& golden = test::grounding_dino_golden().at("post_processing");
  auto logits = test::made_up(9100, {2, 40, 32}, -6, 1);
  const auto boxes = test::made_up(9101, {2, 40, 4}, 0, 1);
  const std::vector<std::array<std::int64_t, 2>> sizes{{375, 500}, {480, 333}};
  const auto minus_infinity = -std::numeric_limits<float>::infinity();
  std::size_t longest = 0;
  std::vector<std::vector<std::int64_t>> ids;
  for (const auto& prompt : golden["prompts"]) {
    ids.push_back(tokenizer.encode(prompt.get<std::string>()));
    longest = std::max(longest, ids.back().size());
  }
  logits.slice(2, static_cast<std::int64_t>(longest)).fill_(minus_infinity);
  logits[0].slice(1, 8).fill_(minus_infinity);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto row = static_cast<std::int64_t>(i);
    ids[i].resize(longest, 0);
    const auto run = [&](GroundingDinoRules rules) {
      return grounded_boxes(logits[row], boxes[row], ids[i], tokenizer, sizes[i][0], sizes[i][1], {0.6, 0.45},
                            rules);
    };
    const auto found = run(GroundingDinoRules::transformers);
    const auto& expected = golden["found"][i];
    EXPECT_EQ(found.phrases, expected["phrases"].get<std::vector<std::string>>());
    const auto scores = expected["scores"].get<std::vector<double>>();
    const auto corners = expected["boxes"].get<std::vector<std::vector<double>>>();
    ASSERT_EQ(found.boxes.size(), corners.size());
    for (std::size_t k = 0; k < corners.size(); ++k) {
      EXPECT_NEAR(found.scores[k], scores[k], 1e-6);
      for (std::size_t c = 0; c < 4; ++c) EXPECT_NEAR(found.boxes[k][c], corners[k][c], 1e-3);
    }
    // The original takes the dots out.
    const auto without_dots = run(GroundingDinoRules::original);
    for (std::size_t k = 0; k < found.phrases.size(); ++k) {
      auto phrase = found.phrases[k];
      std::erase(phrase, '.');
      EXPECT_EQ(without_dots.phrases[k], phrase);
    }
  }
  const auto nothing = grounded_boxes(logits[0], boxes[0], ids[0], tokenizer, 10, 10, {1.0, 0.25},
                                      GroundingDinoRules::transformers);
  EXPECT_TRUE(nothing.boxes.empty() && nothing.scores.empty() && nothing.phrases.empty());
}

class DetectorOfASmallFolder : public testing::Test {
 protected:
  void SetUp() override {
    test::write_grounding_dino(folder_.path(), "padded");
    test::write_small_vocabulary(folder_ / "vocab.txt");
    write_atomically(folder_ / "preprocessor_config.json",
                     R"({"do_resize": true, "size": {"shortest_edge": 64, "longest_edge": 100}, "resample": 2,
                         "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})");
  }
  test::TemporaryFolder folder_;
};

TEST_F(DetectorOfASmallFolder, FindsTheSameBoxesAloneAndAgain) {
  const GroundingDinoDetector detector(folder_.path());
  const GroundingDinoThresholds low{0.2, 0.1};
  NamedTensors first, again;
  const auto found = detector.detect({picture(48, 60)}, {"Bird. Cat"}, low, &first);
  const auto other = detector.detect({picture(48, 60)}, {"bird. cat."}, low, &again);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_FALSE(found[0].boxes.empty());
  EXPECT_EQ(found[0].boxes, other[0].boxes);
  EXPECT_EQ(found[0].phrases.size(), found[0].boxes.size());
  EXPECT_EQ(found[0].scores.size(), found[0].boxes.size());
  EXPECT_TRUE(at::equal(first.at("logits"), again.at("logits")));
  EXPECT_TRUE(
      at::equal(first.at("input_ids"), at::tensor({101, 6, 1012, 8, 1012, 102}, at::kLong).unsqueeze(0)));
}

TEST_F(DetectorOfASmallFolder, WhatItCapturesReplaysInTheNetwork) {
  const GroundingDinoDetector detector(folder_.path());
  NamedTensors capture;
  detector.detect({picture(48, 60), picture(60, 40, 4, 2)}, {"birdwing.", "a cat. bird. a"}, {}, &capture);
  EXPECT_EQ(capture.at("pixel_values").sizes(), at::IntArrayRef({2, 3, 96, 80}));
  EXPECT_EQ(capture.at("pixel_mask")[0].sum().item<std::int64_t>(), 64 * 80);
  EXPECT_EQ(capture.at("attention_mask").sum(1)[0].item<std::int64_t>(), 5);
  const auto network = load_grounding_dino(folder_.path(), at::kFloat);
  const at::NoGradGuard no_gradients;
  const auto output =
      network->forward(capture.at("pixel_values"), capture.at("pixel_mask"),
                       network->encode_text(capture.at("input_ids"), capture.at("attention_mask"),
                                            capture.at("token_type_ids")));
  EXPECT_LT((output.pred_boxes - capture.at("pred_boxes")).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(capture.at("logits").sizes(), at::IntArrayRef({2, 24, 24}));
}

TEST_F(DetectorOfASmallFolder, FromSeveralThreadsGivesWhatOneGives) {
  const GroundingDinoDetector detector(folder_.path());
  const auto expected = detector.detect({picture(48, 60)}, {"bird"}, {0.1, 0.1});
  std::vector<std::vector<Detections>> found(3);
  std::vector<std::thread> threads;
  for (auto& mine : found)
    threads.emplace_back([&] { mine = detector.detect({picture(48, 60)}, {"bird"}, {0.1, 0.1}); });
  for (auto& thread : threads) thread.join();
  for (const auto& mine : found) EXPECT_EQ(mine[0].boxes, expected[0].boxes);
}

TEST_F(DetectorOfASmallFolder, RejectsWhatTheNetworkCannotTake) {
  write_atomically(folder_ / "preprocessor_config.json",
                   R"({"size": {"shortest_edge": 64, "longest_edge": 80}})");
  const GroundingDinoDetector detector(folder_.path());
  NamedTensors capture;
  const auto found =
      detector.detect({picture(1, 2000), picture(48, 60), io::Image{}}, {"bird"}, {}, &capture);
  EXPECT_NE(found[0].rejected.find("fewer than"), std::string::npos);
  EXPECT_FALSE(found[0].notes.empty());  // clamped
  EXPECT_TRUE(found[1].rejected.empty());
  EXPECT_FALSE(found[2].rejected.empty());
  EXPECT_EQ(capture.at("pixel_values").size(0), 1);
  const auto none = detector.detect({picture(1, 2000)}, {"bird"}, {}, &capture);
  EXPECT_TRUE(capture.empty() && none[0].boxes.empty());
  EXPECT_TRUE(detector.detect({}, {"bird"}).empty());
}

TEST_F(DetectorOfASmallFolder, CutsLongPromptsAndSaysSo) {
  const GroundingDinoDetector detector(folder_.path());
  std::string prompt;
  for (int i = 0; i < 20; ++i) prompt += "a bird. ";
  NamedTensors capture;
  const auto found = detector.detect({picture(48, 60)}, {prompt}, {}, &capture);
  ASSERT_EQ(found[0].notes.size(), 1u);
  EXPECT_NE(found[0].notes[0].find("62 tokens, cut to 24"), std::string::npos) << found[0].notes[0];
  EXPECT_EQ(capture.at("input_ids").size(1), 24);
  // A mask of all its tokens would not fit into memory.
  std::string endless;
  for (int i = 0; i < 50'000; ++i) endless += "a bird. ";
  EXPECT_EQ(detector.detect({picture(48, 60)}, {endless}, {0.1, 0.1})[0].boxes,
            detector.detect({picture(48, 60)}, {prompt}, {0.1, 0.1})[0].boxes);
}

TEST_F(DetectorOfASmallFolder, RefusesNonsense) {
  const GroundingDinoDetector detector(folder_.path());
  EXPECT_THROW(detector.detect({picture(48, 60)}, {"bird", "cat"}), ConfigError);
  EXPECT_THROW(detector.detect({picture(48, 60)}, {}), ConfigError);
  EXPECT_THROW(detector.detect({picture(48, 60)}, {"..."}), ConfigError);
  EXPECT_THROW(detector.detect({picture(48, 60)}, {"bird"}, {std::nan(""), 0.1}), ConfigError);
}

TEST_F(DetectorOfASmallFolder, ListsAllThatIsWrongWithAFolder) {
  fs::remove(folder_ / "vocab.txt");
  fs::remove(folder_ / "model.safetensors");
  write_atomically(folder_ / "preprocessor_config.json",
                   R"({"size": {"height": 5, "width": 6}, "image_std": [1, 0]})");
  try {
    const GroundingDinoDetector detector(folder_.path());
    FAIL() << "a broken folder was loaded";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 5u);
  }
}

TEST_F(DetectorOfASmallFolder, ReadsTheJointProcessorFileOfTransformers5) {
  fs::rename(folder_ / "preprocessor_config.json", folder_ / "joint");
  const auto own = nlohmann::json::parse(read_text(folder_ / "joint"));
  write_atomically(folder_ / "processor_config.json", nlohmann::json{{"image_processor", own}}.dump());
  const GroundingDinoDetector detector(folder_.path());
  NamedTensors capture;
  detector.detect({picture(48, 60)}, {"bird"}, {}, &capture);
  EXPECT_EQ(capture.at("pixel_values").size(2), 64);
}

}  // namespace
}  // namespace deda::models
