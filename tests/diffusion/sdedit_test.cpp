// Whole edits against the parts of diffusers (tests/golden/sdedit.py); batches; what becomes of each copy.
#include "diffusion/sampling/sdedit.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "diffusion/edit_fixture.h"
#include "diffusion/generation/generate_trace.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {
namespace {

using test::golden_cdp;
using test::golden_picture;
using test::load_tiny;
using test::scaled_difference;

// Float32 on both sides through up to 25 evaluations with guidance 7, which multiplies rounding; the promise
// is 1e-3.
constexpr double tolerance_of_scale = 1e-3;
// Other batch sizes sum in another order.
constexpr double rounding = 1e-4;

const models::NamedTensors& golden() {
  static const auto tensors = models::read_tensors(DEDA_SOURCE_DIR "/tests/golden/sdedit.safetensors");
  return tensors;
}

class Sdedit : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder;
    test::write_golden_model(folder_->path());
    model_ = new std::shared_ptr<const DiffusionModel>(load_tiny(folder_->path()));
  }
  static void TearDownTestSuite() {
    delete model_;
    delete folder_;
  }
  static const DiffusionModel& model() { return **model_; }
  static std::shared_ptr<const DiffusionModel> shared_model() { return *model_; }
  static const std::filesystem::path& folder() { return folder_->path(); }

  static std::vector<TextCondition> golden_texts() {
    const auto states = test::made_up(9100, {3, 77, test::tiny_text_width});
    std::vector<TextCondition> texts;
    for (std::int64_t i = 0; i < 3; ++i) texts.push_back({states.slice(0, i, i + 1), {}});
    return texts;
  }
  static LatentEditor golden_editor(SchedulerKind kind, double strength) {
    return {model(), {kind, 25, strength, 7.0, test::tiny_resolution}, golden_texts()[0]};
  }
  static std::vector<EditRow> golden_rows() {
    return {{0, 0, 11}, {0, 0, 12}, {1, 1, 9223372036854775813u}, {1, 1, 99}};
  }
  static at::Tensor golden_edit(SchedulerKind kind, double strength, const EditObserver& observer = {}) {
    const auto texts = golden_texts();
    return golden_editor(kind, strength)
        .edit(golden().at("clean"), {texts[1], texts[2]}, golden_rows(), observer);
  }
  static GeneratorSettings settings() {
    GeneratorSettings made;
    made.generate.copies = 2;
    made.generate.least_alpha_inside = made.generate.least_area_ratio = 0;
    made.generate.most_area_ratio = 1e9;
    made.resolution = test::tiny_resolution;
    return made;
  }
  static Generator generator(const GeneratorSettings& with) {
    return {shared_model(), with, prompts_of_names(model(), "a photo of a {token}", {"bird", "car"})};
  }

 private:
  static inline test::TemporaryFolder* folder_ = nullptr;
  static inline std::shared_ptr<const DiffusionModel>* model_ = nullptr;
};

TEST_F(Sdedit, EncodesAsLayerDiffuseDoes) {
  const auto encoded = encode_cdps(model(), {golden_picture(0), golden_picture(1)}, 300);
  EXPECT_LT(scaled_difference(encoded.latents, golden().at("clean")), tolerance_of_scale);
}

TEST_F(Sdedit, EveryStepOfAnEditEqualsDiffusers) {
  const auto& expected = golden().at("dpm.samples");
  std::vector<double> timesteps;
  const auto final = golden_edit(SchedulerKind::dpmpp2m_linspace, 0.4, [&](const EditStep& step) {
    const auto k = static_cast<std::int64_t>(step.k);
    timesteps.push_back(step.timestep);
    EXPECT_LT(scaled_difference(step.sample, expected[k]), tolerance_of_scale) << "before evaluation " << k;
    EXPECT_LT(scaled_difference(step.after, expected[k + 1]), tolerance_of_scale) << "after evaluation " << k;
    EXPECT_TRUE(
        at::allclose(step.guided, step.unconditional + 7.0 * (step.conditional - step.unconditional)));
  });
  EXPECT_EQ(timesteps, (std::vector<double>{400, 360, 320, 280, 240, 200, 160, 120, 80, 40}));
  EXPECT_LT(scaled_difference(final, expected[10]), tolerance_of_scale);
  const auto decoded = decode_cdps(model(), final, {});
  EXPECT_LT((decoded.argb - golden().at("dpm.argb")).abs().max().item<double>(), tolerance_of_scale);
}

TEST_F(Sdedit, WholeTrajectoriesOfTheSamplersEqualDiffusers) {
  const std::vector<std::tuple<const char*, SchedulerKind, double>> cases{
      {"whole", SchedulerKind::dpmpp2m_linspace, 1.0},
      {"ddim", SchedulerKind::ddim_leading, 0.4},
      {"ancestral", SchedulerKind::euler_ancestral_leading, 0.4},
      {"pndm", SchedulerKind::pndm_faithful, 0.4}};
  for (const auto& [name, kind, strength] : cases) {
    EXPECT_LT(scaled_difference(golden_edit(kind, strength), golden().at(std::string{name} + ".final")),
              tolerance_of_scale)
        << name;
  }
}

TEST_F(Sdedit, StrengthPointFourIsTenEvaluationsFromTimestep400) {
  const auto editor = golden_editor(SchedulerKind::dpmpp2m_linspace, 0.4);
  EXPECT_EQ(editor.evaluations(), 10u);
  EXPECT_EQ(editor.first_timestep(), 400);
  EXPECT_NEAR(editor.first_sigma(), 1.164391, 2e-6);
  EXPECT_THROW(golden_editor(SchedulerKind::dpmpp2m_linspace, 0.03), ConfigError) << "no step would be left";
}

TEST_F(Sdedit, BatchesChangeNothingButRounding) {
  const auto together = golden_edit(SchedulerKind::euler_ancestral_leading, 0.4);
  const auto editor = golden_editor(SchedulerKind::euler_ancestral_leading, 0.4);
  const auto texts = golden_texts();
  for (std::size_t i = 0; i < golden_rows().size(); ++i) {
    auto row = golden_rows()[i];
    const auto source = golden().at("clean").slice(0, row.source, row.source + 1);
    const auto text = texts[row.text + 1];
    row.source = 0;
    row.text = 0;
    const auto index = static_cast<std::int64_t>(i);
    EXPECT_LT(scaled_difference(editor.edit(source, {text}, {row}), together.slice(0, index, index + 1)),
              rounding);
  }
}

TEST_F(Sdedit, WithoutGuidanceTheUnconditionalTextHasNoSay) {
  const auto texts = golden_texts();
  const EditSettings plain{SchedulerKind::dpmpp2m_linspace, 25, 0.2, 1.0, test::tiny_resolution};
  const auto& clean = golden().at("clean");
  const auto a = LatentEditor(model(), plain, texts[0]).edit(clean, {texts[1]}, {{0, 0, 5}});
  const auto b = LatentEditor(model(), plain, texts[2]).edit(clean, {texts[1]}, {{0, 0, 5}});
  EXPECT_TRUE(at::equal(a, b));
}

TEST_F(Sdedit, NoiseIsAPureFunctionOfSeedPictureAndCopy) {
  const auto seed = seed_of_copy(1, "a.png", 1);
  EXPECT_NE(seed, seed_of_copy(1, "a.png", 2));
  EXPECT_NE(seed, seed_of_copy(1, "b.png", 1));
  EXPECT_NE(seed, seed_of_copy(2, "a.png", 1));
  const auto noise = edit_noise(seed, 0, {1, 4, 64, 64});
  EXPECT_TRUE(at::equal(noise, edit_noise(seed, 0, {1, 4, 64, 64})));
  EXPECT_FALSE(at::equal(noise, edit_noise(seed, 1, {1, 4, 64, 64})));
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.03);  // four standard errors of 16,384 numbers
  EXPECT_NEAR(noise.std().item<double>(), 1, 0.03);
}

TEST_F(Sdedit, CopiesOfAUnitEqualThoseOfEachCdpAlone) {
  const auto made = generator(settings());
  const auto together = made.edit({golden_cdp(0), golden_cdp(1), golden_cdp(2)});
  for (int number = 0; number < 3; ++number) {
    const auto alone = made.edit({golden_cdp(number)}).front();
    const auto& unit = together[static_cast<std::size_t>(number)];
    ASSERT_EQ(unit.size(), 2u);
    for (std::size_t k = 0; k < unit.size(); ++k) {
      EXPECT_EQ(unit[k].copy, static_cast<std::int32_t>(k) + 1);
      EXPECT_EQ(unit[k].seed, alone[k].seed);
      int most = 0;
      for (std::size_t i = 0; i < unit[k].decoded.pixels.size(); ++i)
        most = std::max(most, std::abs(unit[k].decoded.pixels[i] - alone[k].decoded.pixels[i]));
      EXPECT_LE(most, 1) << "bytes are cut off, not rounded: rounding may cost one level";
    }
    EXPECT_NE(unit[0].decoded.pixels, unit[1].decoded.pixels);
  }
}

TEST_F(Sdedit, RejectsWhatLostItsShapeAndSaysWhy) {
  auto strict = settings();
  strict.generate.least_alpha_inside = 1.0;
  const auto faint = generator(strict).edit({golden_cdp(0)});
  for (const auto& copy : faint.front()) {
    EXPECT_EQ(copy.outcome, io::Outcome::rejected);
    EXPECT_NE(copy.reason.find("inside of the source's mask"), std::string::npos) << copy.reason;
  }
  strict = settings();
  strict.generate.most_area_ratio = 0;
  auto large = generator(strict).edit({golden_cdp(0)});
  for (auto& copy : large.front()) {
    EXPECT_EQ(copy.outcome, io::Outcome::rejected) << "random weights leave something opaque";
    EXPECT_FALSE(record_of_copy(copy, golden_cdp(0), 0, 0.4).has_value());
  }
}

TEST_F(Sdedit, NumbersThatAreNotFiniteFailTheirCopyAlone) {
  auto broken = settings();
  broken.generate.autoencoder_batch = 1;
  const auto made = generator(broken);
  auto prompts = prompts_of_names(model(), "a photo of a {token}", {"bird", "car"});
  prompts[1].text.states = prompts[1].text.states * std::numeric_limits<float>::quiet_NaN();
  const Generator poisoned(shared_model(), broken, prompts);
  const auto edited = poisoned.edit({golden_cdp(0), golden_cdp(1)});
  const auto healthy = made.edit({golden_cdp(0), golden_cdp(1)});
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_EQ(edited[0][k].outcome, io::Outcome::done);
    EXPECT_EQ(edited[0][k].decoded.pixels, healthy[0][k].decoded.pixels);
    EXPECT_EQ(edited[1][k].outcome, io::Outcome::failed);
    EXPECT_TRUE(edited[1][k].decoded.empty());
  }
}

TEST_F(Sdedit, ChecksTheResolution) {
  auto odd = settings();
  odd.resolution = 30;
  EXPECT_THROW(generator(odd), ConfigError);
}

TEST_F(Sdedit, TracesHoldWhatAReplayNeeds) {
  const auto made = generator(settings());
  EditRecord record;
  const std::vector<CdpToEdit> cdps{golden_cdp(0), golden_cdp(1)};
  const auto edited = made.edit(cdps, &record);
  write_generate_trace(folder() / "trace", made, record, cdps[1], 1, edited[1], 7);
  const io::SafetensorsFile file(folder() / "trace" / "item-000007-copy-2.safetensors");
  EXPECT_EQ(file.metadata().at("k"), "2");
  EXPECT_EQ(file.metadata().at("prompt"), "a photo of a car");
  const auto tensors = models::read_tensors(file.path());
  for (const char* name : {"rgba",
                           "padded_rgb",
                           "offset",
                           "vae_feed",
                           "mean",
                           "std",
                           "latents_clean",
                           "noise",
                           "input_ids",
                           "sigmas",
                           "step_00.sample",
                           "step_09.prev_sample",
                           "step_00.noise_pred_uncond",
                           "step_00.noise_pred_text",
                           "step_00.noise_pred",
                           "latents_final",
                           "image",
                           "pixel",
                           "latent",
                           "argb",
                           "rgba_out"})
    EXPECT_TRUE(tensors.contains(name)) << name;
  EXPECT_EQ(tensors.at("encoder_hidden_states").sizes(),
            (std::vector<std::int64_t>{2, 77, test::tiny_text_width}));
  EXPECT_TRUE(at::equal(tensors.at("noise"), edit_noise(edited[1][1].seed, 0, {1, 4, 8, 8})));
  EXPECT_TRUE(at::equal(tensors.at("step_09.prev_sample"), tensors.at("latents_final")));
  for (int k = 1; k < 10; ++k)
    EXPECT_TRUE(at::equal(tensors.at("step_0" + std::to_string(k) + ".sample"),
                          tensors.at("step_0" + std::to_string(k - 1) + ".prev_sample")));
}

}  // namespace
}  // namespace deda::diffusion
