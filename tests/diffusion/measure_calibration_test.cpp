// Calibration on networks built so that the right answer is known.
#include "diffusion/transparent/measure_calibration.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "diffusion/edit_fixture.h"
#include "diffusion/transparent/calibration.h"

namespace deda::diffusion {
namespace {

at::Tensor parameter(const torch::nn::Module& network, const std::string& name) {
  return models::state_of(network).at(name);
}

CalibrationResult measured(const DiffusionModel& model, int workers = 1) {
  return measure_calibration(comm::Communicator::self(), model,
                             {test::golden_picture(0), test::golden_picture(1)}, DecoderPixel::clipped, 1,
                             workers);
}

const CalibrationRow& choice_of(const CalibrationResult& result) {
  return result.rows.at(result.chosen);
}

struct TinyFolder {
  test::TemporaryFolder owned;
  const std::filesystem::path& path = owned.path();
  TinyFolder() { test::write_golden_model(path); }
};

TEST(Calibration, KeepsTheOfficialChoiceWhereNothingMakesADifference) {
  const torch::NoGradGuard no_gradients;
  const TinyFolder folder;
  const auto model = test::load_tiny(folder.path);
  parameter(*model->transparent_decoder, "conv_out.weight").zero_();  // one picture, whatever it is given
  const auto result = measured(*model);
  ASSERT_EQ(result.rows.size(), 8u) << "3 gains x 2 latents, then two more decoder pixels";
  EXPECT_EQ(choice_of(result).offset_gain, 1);
  EXPECT_FALSE(choice_of(result).scaled_latent);
  EXPECT_EQ(result.rows[6].pixel, DecoderPixel::raw);
  EXPECT_EQ(result.rows[7].pixel, DecoderPixel::eight_bit);
}

TEST(Calibration, FindsThatAnOffsetDoesHarm) {
  const torch::NoGradGuard no_gradients;
  const TinyFolder folder;
  const auto model = test::load_tiny(folder.path);
  // Offsets that throw the latent far away: the decoded picture has nothing of the source's.
  const auto last = parameter(*model->transparent_encoder, "blocks.8.bias");
  last.fill_(std::numeric_limits<float>::max());
  const auto result = measured(*model);
  EXPECT_EQ(choice_of(result).offset_gain, 0);
}

TEST(Calibration, FindsWhichLatentTheDecoderWants) {
  const torch::NoGradGuard no_gradients;
  TinyFolder folder;
  auto config = test::tiny_autoencoder_config({});
  config.scaling_factor = 1e-36;
  write_atomically(folder.path / "vae" / "config.json", models::to_json(config));
  const auto model = test::load_tiny(folder.path);
  // A decoder that takes numbers of that size alone, and overflows with unscaled ones.
  parameter(*model->transparent_decoder, "latent_conv_in.weight").fill_(3e38f);
  const auto result = measured(*model, 2);
  EXPECT_TRUE(choice_of(result).scaled_latent);
  EXPECT_EQ(result.rows[0].alpha, 1) << "numbers that are not finite are as wrong as can be";
}

TEST(Calibration, ItsFileIsWhatGenerationReads) {
  const TinyFolder folder;
  const auto model = test::load_tiny(folder.path);
  auto result = measured(*model);
  result.chosen = 5;  // 300, scaled: not what anything defaults to
  write_calibration(folder.path / "out", result, model->identity);
  ModelsConfig models;
  models.base = folder.path;
  models.calibration = folder.path / "out" / "calibration.json";
  const auto choice = choose_transparency(models, {}, {}, false, model->identity);
  EXPECT_EQ(choice.offset_gain, 300);
  EXPECT_TRUE(choice.scaled_latent);
  EXPECT_THROW(choose_transparency(models, {}, {}, false, "another model"), DataError);
  EXPECT_NE(to_text(result).find("chosen"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(folder.path / "out" / "calibration.csv"));
}

TEST(Calibration, DoesNotDependOnThreads) {
  const TinyFolder folder;
  const auto model = test::load_tiny(folder.path);
  const auto one = measured(*model, 1), three = measured(*model, 3);
  for (std::size_t i = 0; i < one.rows.size(); ++i) EXPECT_EQ(one.rows[i].score(), three.rows[i].score());
  EXPECT_THROW(measure_calibration(comm::Communicator::self(), *model, {}, DecoderPixel::clipped, 1, 1),
               DataError);
}

}  // namespace
}  // namespace deda::diffusion
