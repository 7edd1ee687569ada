// Steps of tuning against a plain PyTorch loop (tests/golden/tuning.py), and what the parts of a step
// promise: squares as torchvision cuts them, latents that do not depend on what is kept, draws, words outside
// of the batch, bad numbers.
#include "diffusion/tuning/tuning_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "diffusion/inversion/adamw.h"
#include "diffusion/prompts.h"
#include "diffusion/tuning_fixture.h"
#include "diffusion/whole/picture_autoencoder.h"
#include "io/pictures/resize.h"
#include "models/made_up_weights.h"

namespace deda::diffusion {
namespace {

using test::made_up;
using test::TinyLayout;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

double relative_difference(const at::Tensor& ours, const at::Tensor& theirs) {
  return ((ours - theirs).to(at::kDouble).norm() / theirs.to(at::kDouble).norm()).item<double>();
}

// Of tests/golden/tuning.py.
constexpr std::int64_t golden_steps = 10, golden_batch = 6, golden_pixels = 32, golden_side = 8,
                       golden_classes = 4, golden_rank = 3;
constexpr std::uint64_t first_matrix = 70000, first_picture = 71000, first_noise = 72000;
constexpr double lora_rate = 4e-3, word_rate = 5e-3;

struct GoldenCase {
  std::string name;
  TinyLayout layout;
  PredictionType prediction;
  double most_norm;
};

std::int64_t class_of(std::int64_t step, std::int64_t i) {
  return i % 2 == 0 ? 0 : (step / 4 + i / 2) % 2 + 1;
}

std::vector<io::Image> golden_pictures(std::int64_t step) {
  const auto numbers = (256 * made_up(first_picture + static_cast<std::uint64_t>(step),
                                      {golden_batch, golden_pixels, golden_pixels, 3}, 0, 1))
                           .floor()
                           .to(at::kByte);
  std::vector<io::Image> pictures;
  for (const auto& one : numbers.unbind()) {
    io::Image picture(golden_pixels, golden_pixels, 3);
    const auto* bytes = one.const_data_ptr<std::uint8_t>();
    std::copy_n(bytes, picture.pixels.size(), picture.pixels.begin());
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

std::string peft_order(std::string name) {
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  };
  replace(".processor.", ".");
  replace("to_out_lora", "to_out.0_lora");
  replace("_lora.down.weight", ".lora_A.default.weight");
  replace("_lora.up.weight", ".lora_B.default.weight");
  return name;
}

std::vector<models::LoraMatrix> in_golden_order(const models::LoraLayers& lora) {
  auto matrices = lora.matrices();
  std::sort(matrices.begin(), matrices.end(),
            [](const auto& a, const auto& b) { return peft_order(a.name) < peft_order(b.name); });
  return matrices;
}

at::Tensor digest(const at::Tensor& tensor) {
  constexpr std::int64_t samples = 8;
  const auto flat = tensor.detach().flatten();
  std::vector<at::Tensor> numbers{flat.to(at::kDouble).norm().to(at::kFloat)};
  for (std::int64_t i = 0; i < samples; ++i) numbers.push_back(flat[i * (flat.numel() - 1) / (samples - 1)]);
  return at::stack(numbers);
}

class TuningAsTheOriginal : public ::testing::TestWithParam<GoldenCase> {};
INSTANTIATE_TEST_SUITE_P(
    Cases, TuningAsTheOriginal,
    ::testing::Values(GoldenCase{"sd15", TinyLayout::sd15, PredictionType::epsilon, 0.018},
                      GoldenCase{"sd15_velocity", TinyLayout::sd15, PredictionType::v_prediction, 0.0165},
                      GoldenCase{"sdxl", TinyLayout::sdxl, PredictionType::epsilon, 0.0105}),
    [](const auto& each) { return each.param.name; });

// In passes of four and two pictures, where the original takes all six at once. AdamW carries rounding of
// small gradients into the numbers: 2e-4 of scale after ten steps; losses and norms are of single passes.
TEST_P(TuningAsTheOriginal, GivesTheSameLossesNormsWordsAndMatricesInTenSteps) {
  const auto& golden_case = GetParam();
  const auto golden =
      models::read_tensors(fs::path(DEDA_SOURCE_DIR) / "tests" / "golden" / "tuning.safetensors");
  const auto of = [&](const std::string& what) { return golden.at(golden_case.name + "." + what); };
  test::TemporaryFolder folder;
  test::write_tiny_diffusion_model(folder.path(), {.layout = golden_case.layout});
  ModelsConfig config;
  config.base = folder.path();
  DiffusionModel model(config, at::kCPU);
  model.schedule.prediction_type = golden_case.prediction;
  const NoiseSchedule schedule(model.schedule);

  std::vector<models::ClipTokenizer> tokenizers(model.tokenizers.begin(), model.tokenizers.end());
  std::vector<std::string> captions;
  std::vector<at::Tensor> rows;
  for (std::size_t id = 0; id < golden_classes; ++id) {
    for (auto& tokenizer : tokenizers) tokenizer.add_token(placeholder_of_class(id));
    captions.push_back(tuning_caption(placeholder_of_class(id), "bird"));
  }
  for (std::size_t encoder = 0; encoder < tokenizers.size(); ++encoder)
    rows.push_back(model.text_encoders[encoder]
                       ->token_row(model.tokenizers[encoder].tokens("dog").at(0))
                       .unsqueeze(0)
                       .repeat({golden_classes, 1}));
  const auto ids = model.ids_of(tokenizers, captions);
  models::LoraLayers lora(*model.unet, {.rank = golden_rank});
  {
    torch::NoGradGuard no_gradients;
    auto index = first_matrix;
    for (auto& matrix : in_golden_order(lora))
      matrix.value.copy_(made_up(index++, matrix.value.sizes(), -0.1, 0.1));
  }
  AdamW lora_optimizer({lora.values()}, {}), word_optimizer(rows, {});
  for (std::int64_t step = 0; step < golden_steps; ++step) {
    const auto noise_index = first_noise + 2 * static_cast<std::uint64_t>(step);
    const std::vector<std::int64_t> shape{golden_batch, 4, golden_side, golden_side};
    const auto encoded = encode_pictures(model, golden_pictures(step), golden_batch);
    const auto latents = (encoded.mean + encoded.deviation * made_up(noise_index, shape, -2, 2)) *
                         model.autoencoder->config().scaling_factor;
    const auto noise = made_up(noise_index + 1, shape, -2, 2);
    double loss = 0;
    at::Tensor lora_gradient;
    std::vector<at::Tensor> word_gradients;
    for (const auto& [first, last] : {std::pair<std::int64_t, std::int64_t>{0, 4}, {4, 6}}) {
      TuningBatch batch;
      batch.latents = latents.slice(0, first, last);
      batch.noise = noise.slice(0, first, last);
      std::vector<std::int64_t> timesteps;
      for (std::int64_t i = first; i < last; ++i) {
        timesteps.push_back((211 * (step * golden_batch + i) + 11) % 1000);
        batch.prompts.push_back(class_of(step, i));
      }
      batch.timesteps = at::tensor(timesteps);
      batch.prompt_ids = ids;
      const auto part =
          tuning_gradients(model, schedule, lora, rows, batch, golden_batch, 8.0, golden_pixels);
      loss += part.errors.sum().item<double>() / golden_batch;
      lora_gradient = lora_gradient.defined() ? lora_gradient + part.lora : part.lora;
      for (std::size_t i = 0; i < part.rows.size(); ++i) {
        if (word_gradients.size() == i) {
          word_gradients.push_back(part.rows[i] / 8.0);
        } else {
          word_gradients[i] = word_gradients[i] + part.rows[i] / 8.0;
        }
      }
    }
    lora_gradient = lora_gradient / 8.0;
    const auto norm = clip_to_norm(lora_gradient, golden_case.most_norm).item<double>();
    const double expected_norm = of("norms")[step].item<double>(),
                 expected_loss = of("losses")[step].item<double>();
    EXPECT_NEAR(loss, expected_loss, 2e-5 * expected_loss) << "step " << step;
    EXPECT_NEAR(norm, expected_norm, 1e-4 * expected_norm) << "step " << step;
    EXPECT_LE(lora_gradient.norm().item<double>(), golden_case.most_norm * 1.00001);
    lora_optimizer.step({lora_gradient}, lora_rate);
    word_optimizer.step(word_gradients, word_rate);
    for (std::size_t encoder = 0; encoder < rows.size(); ++encoder)
      EXPECT_LT(relative_difference(rows[encoder], of("rows." + std::to_string(encoder))[step]), 2e-4)
          << "step " << step;
  }
  std::vector<at::Tensor> digests;
  for (const auto& matrix : in_golden_order(lora)) digests.push_back(digest(matrix.value));
  EXPECT_LT(relative_difference(at::stack(digests), of("matrices")), 2e-4);
}

TEST(TuningSquare, IsCutAsTorchvisionCutsIt) {
  io::Image wide(40, 61, 3);  // shorter side 32: 32 x 48, since int(32 * 61 / 40) = 48
  for (std::size_t i = 0; i < wide.pixels.size(); ++i) wide.pixels[i] = static_cast<std::uint8_t>(i * 7);
  const auto resized = io::resize(wide, 32, 48);
  const auto expect_cut = [&](const io::Image& found, int left, bool mirrored) {
    ASSERT_EQ(found.height, 32);
    ASSERT_EQ(found.width, 32);
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        const int from = left + (mirrored ? 31 - x : x);
        for (int c = 0; c < 3; ++c) ASSERT_EQ(found.row(y)[3 * x + c], resized.row(y)[3 * from + c]);
      }
    }
  };
  const SquareRules random{.resolution = 32}, center{.resolution = 32, .crop = TuneCrop::center},
      squash{.resolution = 32, .crop = TuneCrop::squash};
  constexpr std::uint32_t least = 0, most = std::numeric_limits<std::uint32_t>::max();
  expect_cut(tuning_square(random, wide, least, false), 0, false);
  expect_cut(tuning_square(random, wide, most, false), 16, false);
  expect_cut(tuning_square(center, wide, most, true), 8, true);
  EXPECT_EQ(tuning_square(squash, wide, most, false).pixels, io::resize(wide, 32, 32).pixels);
  // round(9 / 2) is 4 in Python, as in CenterCrop; 11 / 2 is 6.
  EXPECT_EQ(square_place(center, 32, 41, 0).offset, 4);
  EXPECT_EQ(square_place(center, 43, 32, 0).offset, 6);
  EXPECT_EQ(square_place(random, 32, 32, most).offset, 0);
  // Every one of 17 places as often as any other, both ends included.
  std::vector<int> counts(17, 0);
  for (std::uint64_t i = 0; i < 17000; ++i)
    ++counts[static_cast<std::size_t>(
        square_place(random, 40, 61, static_cast<std::uint32_t>(i * (std::uint64_t{1} << 32) / 17000))
            .offset)];
  for (const int count : counts) EXPECT_NEAR(count, 1000, 1);
  std::set<int> few;
  for (std::uint64_t i = 0; i < 100; ++i)
    few.insert(square_place({.resolution = 32, .crop_positions = 3}, 40, 61,
                            static_cast<std::uint32_t>(i * (std::uint64_t{1} << 32) / 100))
                   .offset);
  EXPECT_EQ(few, (std::set<int>{0, 8, 16}));
  EXPECT_EQ(square_place({.resolution = 32, .crop_positions = 1}, 40, 61, most).offset, 8);
}

TEST(TuningDraws, GiveEveryPictureOncePerPassWhateverTheOrderOfSteps) {
  const TuningDrawRules rules{.seed = 3, .batch = 4, .pictures = 10};
  TuningDraws draws(rules);
  std::vector<std::size_t> pictures;
  std::int64_t mirrored = 0, largest = 0;
  constexpr std::int64_t steps = 500;
  for (std::int64_t step = 0; step < steps; ++step) {
    for (const auto& draw : draws.of_step(step)) {
      pictures.push_back(draw.picture);
      mirrored += draw.mirrored ? 1 : 0;
      largest = std::max(largest, draw.timestep);
    }
  }
  for (std::size_t pass = 0; pass < pictures.size() / 10; ++pass)
    EXPECT_EQ(std::set<std::size_t>(pictures.begin() + static_cast<std::ptrdiff_t>(10 * pass),
                                    pictures.begin() + static_cast<std::ptrdiff_t>(10 * pass + 10))
                  .size(),
              10u);
  EXPECT_NEAR(static_cast<double>(mirrored) / (4 * steps), 0.5, 0.04);
  EXPECT_GT(largest, 990);
  EXPECT_LT(largest, 1000);
  TuningDraws again(rules);
  const auto one = again.of_step(123), same = draws.of_step(123);
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].picture, same[i].picture);
    EXPECT_EQ(one[i].picture, pictures[4 * 123 + i]);
    EXPECT_EQ(one[i].place, same[i].place);
    EXPECT_EQ(one[i].timestep, same[i].timestep);
  }
  EXPECT_NE(draws.noise(1, 2).bits_at(0), draws.posterior_noise(1, 2).bits_at(0));
}

class TuningParts : public ::testing::Test {
 protected:
  TuningParts() : fixture{comm::Communicator::self(), folder.path()}, model{fixture.load()} {}
  std::string problems_of(const std::function<void()>& work) {
    try {
      work();
    } catch (const Error& error) {
      std::string text;
      for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
      return text;
    }
    return {};
  }
  test::TemporaryFolder folder;
  test::TuningFixture fixture;
  std::shared_ptr<DiffusionModel> model;
};

TEST_F(TuningParts, LatentsAreTheSameBytesKeptOrNot) {
  const SquareRules rules{.resolution = 32, .crop = TuneCrop::center};
  constexpr std::uint64_t plenty = 1 << 20;
  PictureLatents kept(*model, fixture.pictures, rules, plenty), none(*model, fixture.pictures, rules, 0);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t picture = 0; picture < 3; ++picture) {
      for (const bool mirrored : {false, true}) {
        const auto a = kept.posterior(picture, 7, mirrored), b = none.posterior(picture, 9, mirrored);
        EXPECT_TRUE(a.mean.equal(b.mean) && a.deviation.equal(b.deviation));
      }
    }
  }
  EXPECT_EQ(kept.encoded(), 6);
  EXPECT_EQ(kept.kept(), 6);
  EXPECT_EQ(none.encoded(), 12);
  EXPECT_EQ(none.kept(), 0);
  EXPECT_FALSE(kept.posterior(0, 0, false).mean.equal(kept.posterior(0, 0, true).mean.flip(-1)))
      << "an autoencoder does not commute with flips: the mirrored picture is encoded";
}

// As training the whole table and putting back the rows that are no words: a word that is not in the batch
// moves on by its momentum, and decays.
TEST_F(TuningParts, WordsOutsideOfTheBatchMoveOn) {
  fixture.settings.tune.batch = 1;
  fixture.settings.tune.micro_batch = 1;
  fixture.settings.tune.steps = 30;
  Tuner tuner(*model, fixture.pictures, fixture.settings);
  constexpr std::int64_t dog = 3;  // no picture
  const auto decay = 1 - fixture.settings.tune.token_learning_rate * fixture.settings.tune.weight_decay;
  auto before = tuner.rows()[0].clone();
  std::set<std::int64_t> seen;
  TuningDraws draws({.seed = 5, .batch = 1, .pictures = 7});
  for (std::int64_t step = 0; step < 10; ++step) {
    const auto in_batch =
        static_cast<std::int64_t>(fixture.pictures.class_of(draws.of_step(step).front().picture));
    tuner.take_step();
    const auto after = tuner.rows()[0];
    EXPECT_LT((after[dog] - before[dog] * decay).abs().max().item<double>(), 1e-7) << "decays alone";
    for (const auto id : seen) {
      if (id == in_batch) continue;
      EXPECT_GT((after[id] - before[id] * decay).abs().max().item<double>(), 1e-4)
          << "step " << step << ", class " << id;
    }
    seen.insert(in_batch);
    before = after.clone();
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(TuningParts, WhatCannotBeTunedIsAllTold) {
  auto& tune = fixture.settings.tune;
  tune.resolution = 30;
  tune.init_word = " ";
  const auto problems = problems_of([&] {
    const test::MadeUpPictures none({});
    const Tuner tuner(*model, none, fixture.settings);
  });
  EXPECT_THAT(problems, HasSubstr("tune.resolution"));
  EXPECT_THAT(problems, HasSubstr("tune.init_word"));
  EXPECT_THAT(problems, HasSubstr("no training picture"));
  tune.resolution = 32;
  tune.init_word = "dog";
  const test::MadeUpPictures of_another_class({0, 7});
  EXPECT_THAT(problems_of([&] { const Tuner tuner(*model, of_another_class, fixture.settings); }),
              HasSubstr("is of class 7, there are 4"));
  fixture.pictures.broken = 4;
  EXPECT_THAT(problems_of([&] {
                Tuner tuner(*model, fixture.pictures, fixture.settings);
                while (tuner.status() == Tuner::Status::learning) tuner.take_step();
              }),
              HasSubstr("picture 4.png"));
}

// Odd latents: 224 pixels of Stable Diffusion 1.5 are 28, 14, 7 and 4 on its levels.
TEST_F(TuningParts, TakesSidesThatTheUNetCannotHalveEvenly) {
  fixture.settings.tune.resolution = 28;
  fixture.settings.tune.steps = 1;
  Tuner tuner(*model, fixture.pictures, fixture.settings);
  EXPECT_EQ(tuner.take_step(), "");
  EXPECT_TRUE(std::isfinite(tuner.last_loss()));
}

TEST_F(TuningParts, BadNumbersBeginAgainAtATenthAndEndNamed) {
  // Weights that make every loss infinite.
  torch::NoGradGuard no_gradients;
  const auto state = models::state_of(*model->unet);
  at::Tensor bias = state.at("conv_out.bias");
  bias.fill_(std::numeric_limits<float>::infinity());
  fixture.settings.tune.nan_retries = 1;
  {
    Tuner tuner(*model, fixture.pictures, fixture.settings);
    EXPECT_THAT(tuner.take_step(), HasSubstr("beginning again"));
    EXPECT_EQ(tuner.attempt(), 1);
    EXPECT_DOUBLE_EQ(tuner.rate_factor(), 0.1);
    EXPECT_THAT(tuner.take_step(), HasSubstr("not a finite number in step 1"));
    EXPECT_EQ(tuner.status(), Tuner::Status::failed);
    EXPECT_EQ(tuner.take_step(), "");
  }
  fixture.settings.tune.nan = TuneNan::fail;
  Tuner tuner(*model, fixture.pictures, fixture.settings);
  EXPECT_THROW(tuner.take_step(), ModelError);
}

TEST_F(TuningParts, ThreadsAndPassesOnRanksChangeNothing) {
  const auto rows_after = [&](TuningShare share) {
    Tuner tuner(*model, fixture.pictures, fixture.settings, std::move(share));
    for (int step = 0; step < 3; ++step) tuner.take_step();
    return at::cat({tuner.lora().values(), tuner.rows()[0].flatten()});
  };
  EXPECT_TRUE(rows_after({}).equal(rows_after({.rank = 0, .ranks = 1, .workers = 3, .add_up = {}})));
}

}  // namespace
}  // namespace deda::diffusion
