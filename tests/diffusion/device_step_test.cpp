// The generative half on the pretended GPU: the CPU's numbers, no waiting inside an edit or between the looks
// of textual inversion, and the UNet's step as a graph.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "core/log.h"
#include "diffusion/edit_fixture.h"
#include "diffusion/inversion/inversion_unit.h"
#include "diffusion/inversion_fixture.h"
#include "diffusion/picture_fixture.h"
#include "pretended_device/pretended_device.h"

namespace deda::diffusion {
namespace {

class DiffusionDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    set_up_log(0, 1, LogLevel::error);
    pretended::plugin().set_device(0);
  }
  void TearDown() override { pretended::plugin().forbid_waiting(false); }

  ModelsConfig models_config() {
    if (!written_) test::write_golden_model(folder_ / "model");
    written_ = true;
    ModelsConfig config;
    config.base = folder_ / "model";
    config.precision = config.vae_precision = Precision::fp32;
    return config;
  }
  static TextCondition unconditional_of(const DiffusionModel& model) {
    const at::NoGradGuard no_gradients;
    return model.unconditional("");
  }
  static std::vector<TextCondition> texts_of(const DiffusionModel& model) {
    const at::NoGradGuard no_gradients;
    return {model.encode_text(model.ids_of(model.tokenizers, {"a photo of a bird"})),
            model.encode_text(model.ids_of(model.tokenizers, {"a photo of a car"}))};
  }
  test::TemporaryFolder folder_;
  bool written_ = false;
};

constexpr double rounding = 2e-5;  // other kernels for attention and normalisation, ten steps

TEST_F(DiffusionDeviceTest, AutomaticPrecisionIsTheCards) {
  auto config = models_config();
  config.precision = config.vae_precision = Precision::automatic;
  const DiffusionModel model(config, pretended::device);
  EXPECT_EQ(model.unet_dtype, pretended::plugin().has_bfloat16(0) ? at::kBFloat16 : at::kHalf);
  EXPECT_EQ(model.vae_dtype, at::kFloat);
}

TEST_F(DiffusionDeviceTest, EditsAreTheCpusAndNeverWaitForTheDevice) {
  const auto config = models_config();
  const DiffusionModel here(config, at::kCPU), there(config, pretended::device);
  const EditSettings settings{
      .steps = 10, .strength = 0.5, .guidance = 7, .resolution = test::tiny_resolution};
  const auto sources = edit_noise(11, 0, {2, 4, 8, 8});
  const std::vector<EditRow> rows{{0, 0, 1}, {0, 0, 2}, {1, 1, 3}};
  const LatentEditor editor_here(here, settings, unconditional_of(here)),
      editor_there(there, settings, unconditional_of(there));
  const auto expected = editor_here.edit(sources, texts_of(here), rows);
  const auto texts = texts_of(there);
  pretended::plugin().forbid_waiting(true);
  pretended::reset_counters();
  const auto found = editor_there.edit(sources, texts, rows);
  EXPECT_EQ(pretended::counters().waits, 0);
  pretended::plugin().forbid_waiting(false);
  EXPECT_LT(test::scaled_difference(found.cpu(), expected), rounding);
}

TEST_F(DiffusionDeviceTest, AWaitPlantedIntoAnEditIsFound) {
  const DiffusionModel model(models_config(), pretended::device);
  const LatentEditor editor(model, {.steps = 10, .strength = 0.5, .resolution = test::tiny_resolution},
                            unconditional_of(model));
  const auto texts = texts_of(model);
  pretended::plugin().forbid_waiting(true);
  const auto planted = [](const EditStep& step) { static_cast<void>(step.after.max().item<float>()); };
  EXPECT_THROW(editor.edit(edit_noise(11, 0, {1, 4, 8, 8}), texts, {{0, 0, 1}}, planted), c10::Error);
}

TEST_F(DiffusionDeviceTest, RecordedStepsOfTheUNetGiveTheBytesOfStepsKernelByKernel) {
  auto config = models_config();
  const DiffusionModel eager(config, pretended::device);
  config.captured_graphs = true;
  const DiffusionModel recorded(config, pretended::device);
  const EditSettings settings{
      .steps = 10, .strength = 0.5, .guidance = 7, .resolution = test::tiny_resolution};
  const LatentEditor expected(eager, settings, unconditional_of(eager)),
      found(recorded, settings, unconditional_of(recorded));
  const std::vector<EditRow> three{{0, 0, 1}, {0, 0, 2}, {1, 1, 3}}, one{{0, 1, 4}};
  pretended::reset_counters();
  for (const std::uint64_t seed : {11u, 12u}) {  // the second with the first one's recording, other texts
    const auto sources = edit_noise(seed, 0, {2, 4, 8, 8});
    auto a = texts_of(eager), b = texts_of(recorded);
    if (seed == 12) {
      std::swap(a[0], a[1]);
      std::swap(b[0], b[1]);
    }
    EXPECT_TRUE(at::equal(found.edit(sources, b, three).cpu(), expected.edit(sources, a, three).cpu()))
        << seed;
    EXPECT_TRUE(at::equal(found.edit(sources, b, one).cpu(), expected.edit(sources, a, one).cpu()));
  }
  EXPECT_EQ(pretended::counters().replays, 4 + 5);  // five evaluations an edit, the first sets up
}

TEST_F(DiffusionDeviceTest, EditsUnderAPictureAreRecordedTooAndStrengthsShareARecording) {
  test::write_picture_model(folder_ / "pictures", true);
  auto config = test::picture_models_config(folder_ / "pictures");
  config.precision = config.vae_precision = Precision::fp32;
  const auto eager = test::load_picture_model(config, pretended::device);
  config.captured_graphs = true;
  const auto recorded = test::load_picture_model(config, pretended::device);
  auto settings = test::pix2pix_settings().edit;
  settings.strength = 1;
  settings.steps = 10;
  const LatentEditor expected(*eager, settings, unconditional_of(*eager)),
      found(*recorded, settings, unconditional_of(*recorded));
  const auto sources = edit_noise(11, 0, {2, 4, 8, 8});
  const std::vector<EditRow> rows{{0, 0, 1}, {1, 1, 2}};
  pretended::reset_counters();
  EXPECT_TRUE(at::equal(found.edit(sources, texts_of(*recorded), rows).cpu(),
                        expected.edit(sources, texts_of(*eager), rows).cpu()));
  EXPECT_EQ(pretended::counters().replays, 9);  // ten evaluations, the first sets up

  auto by_noise = models_config();
  by_noise.captured_graphs = true;
  const DiffusionModel model(by_noise, pretended::device);
  const LatentEditor half(model,
                          {.steps = 10, .strength = 0.5, .guidance = 7, .resolution = test::tiny_resolution},
                          unconditional_of(model));
  half.edit(sources, texts_of(model), rows);
  pretended::reset_counters();
  half.at_strength(0.3).edit(sources, texts_of(model), rows);
  EXPECT_EQ(pretended::counters().replays, 3) << "of three evaluations";
}

TEST_F(DiffusionDeviceTest, WholePicturesAreTheCpus) {
  for (const bool sees_pictures : {false, true}) {
    const auto folder = folder_ / (sees_pictures ? "by_picture" : "by_noise");
    test::write_picture_model(folder, sees_pictures);
    auto config = test::picture_models_config(folder);
    config.precision = config.vae_precision = Precision::fp32;
    const auto settings = sees_pictures ? test::pix2pix_settings()
                                        : test::img2img_settings(SchedulerKind::dpmpp2m_linspace, 10, {0.5});
    const auto edited_on = [&](at::Device device) {
      const auto generator = test::golden_generator(test::load_picture_model(config, device), settings);
      std::vector<PictureRecord> records;
      auto edited = generator.edit(generator.prepare(test::golden_rgb_pictures()),
                                   test::golden_tasks(settings.strengths.front()), &records);
      EXPECT_TRUE(records[1].image.is_cpu() && records[1].latents.is_cpu());
      generator.rehearse(2);
      return edited;
    };
    const auto expected = edited_on(at::kCPU), found = edited_on(pretended::device);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_LE(test::largest_difference(found[i].picture, expected[i].picture), 1) << i;
  }
}

TEST_F(DiffusionDeviceTest, PaddedHeadsGiveTheSameAttention) {
  const auto hidden = [](std::int64_t seed) {
    return edit_noise(static_cast<std::uint64_t>(seed), 0, {2, 16, 80})
        .to(pretended::device)
        .to(at::kBFloat16);
  };
  const auto plain = models::attend(hidden(1), hidden(2), hidden(3), 2);
  models::pad_attention_heads(true);
  const auto padded = models::attend(hidden(1), hidden(2), hidden(3), 2);
  models::pad_attention_heads(false);
  ASSERT_EQ(padded.sizes(), plain.sizes());
  EXPECT_LT(test::scaled_difference(padded.cpu().to(at::kFloat), plain.cpu().to(at::kFloat)), 0.02);  // bf16
}

TEST_F(DiffusionDeviceTest, WholeCopiesAreTheCpus) {
  const auto config = models_config();
  const auto make = [&](at::Device device) {
    auto model = std::make_shared<const DiffusionModel>(config, device);
    GeneratorSettings settings;
    settings.generate.copies = 2;
    settings.generate.steps = 10;
    settings.generate.least_alpha_inside = settings.generate.least_area_ratio = 0;
    settings.generate.most_area_ratio = 1e9;
    settings.resolution = test::tiny_resolution;
    settings.transparency.offset_gain = 1;
    auto prompts = prompts_of_names(*model, "a photo of a {token}", {"bird", "car"});
    return Generator(std::move(model), settings, std::move(prompts));
  };
  const auto here = make(at::kCPU), there = make(pretended::device);
  EditRecord record;
  const auto expected = here.edit({test::golden_cdp(0), test::golden_cdp(1)}),
             found = there.edit({test::golden_cdp(0), test::golden_cdp(1)}, &record);
  EXPECT_TRUE(record.decoded.argb.is_cpu());
  for (std::size_t cdp = 0; cdp < expected.size(); ++cdp) {
    for (std::size_t copy = 0; copy < expected[cdp].size(); ++copy) {
      const auto &a = expected[cdp][copy], &b = found[cdp][copy];
      ASSERT_EQ(a.outcome, b.outcome) << b.reason;
      ASSERT_EQ(a.decoded.pixels.size(), b.decoded.pixels.size());
      int most = 0;
      for (std::size_t i = 0; i < a.decoded.pixels.size(); ++i)
        most = std::max(most, std::abs(a.decoded.pixels[i] - b.decoded.pixels[i]));
      EXPECT_LE(most, 1);
    }
  }
  there.rehearse(2);
}

class InversionDeviceTest : public DiffusionDeviceTest {
 protected:
  test::SharedFolder shared_;
  test::InversionFixture fixture_{shared_.world, shared_.path, {{"bird", 5}, {"car", 4}}};
  InversionDeviceTest() { fixture_.settings.invert.classes_per_batch = 2; }
};

TEST_F(InversionDeviceTest, StepsBetweenTwoLooksNeverWaitForTheDevice) {
  fixture_.settings.invert.steps = 40;
  fixture_.settings.invert.report_every = 10;
  auto config = fixture_.models;
  config.precision = Precision::fp32;
  const DiffusionModel model(config, pretended::device);
  const InversionContext context(model, *fixture_.source, fixture_.settings);
  InversionUnit unit(context, {0, 1}, 1u << 30);
  constexpr std::int64_t all_encoded = 20;  // latents are encoded when they are first drawn
  while (unit.steps_taken() < all_encoded) unit.step();
  pretended::plugin().forbid_waiting(true);
  for (std::int64_t step = 0; step < 9; ++step) unit.step();
  pretended::plugin().forbid_waiting(false);
  pretended::reset_counters();
  unit.step();  // the tenth looks
  EXPECT_GT(pretended::counters().waits, 0);
}

TEST_F(InversionDeviceTest, IdentifiersAreTheCpusAndKeepTheirCurve) {
  const auto learn = [&](at::Device device) {
    auto config = fixture_.models;
    config.precision = Precision::fp32;
    const DiffusionModel model(config, device);
    const InversionContext context(model, *fixture_.source, fixture_.settings);
    InversionUnit unit(context, {0, 1}, 1u << 30);
    while (!unit.finished()) unit.step();
    return unit.results();
  };
  const auto expected = learn(at::kCPU), found = learn(pretended::device);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(test::scaled_difference(found[i].rows.front(), expected[i].rows.front()), 1e-3);
    ASSERT_EQ(found[i].curve.size(), expected[i].curve.size());
    for (std::size_t point = 0; point < found[i].curve.size(); ++point) {
      EXPECT_EQ(found[i].curve[point].step, expected[i].curve[point].step);
      EXPECT_NEAR(found[i].curve[point].loss, expected[i].curve[point].loss, 1e-4);
    }
  }
}

TEST_F(InversionDeviceTest, BadNumbersAreFoundAtTheNextLookAndNamedByTheirStep) {
  fixture_.settings.invert.steps = 20;
  fixture_.settings.invert.report_every = 10;
  fixture_.settings.invert.nan_retries = 0;
  auto config = fixture_.models;
  config.precision = Precision::fp32;
  const DiffusionModel model(config, pretended::device);
  const InversionContext context(model, *fixture_.source, fixture_.settings);
  ClassLearning learning(context, 0);
  IdentifierRows good{at::full_like(learning.rows().front(), 1e-3)}, bad{at::full_like(good.front(), NAN)};
  const auto errors = at::full({4}, 0.5, at::TensorOptions(at::kFloat).device(pretended::device));
  for (int step = 0; step < 5; ++step) learning.advance_unseen(errors, good);
  for (int step = 0; step < 5; ++step) learning.advance_unseen(errors, bad);
  ASSERT_TRUE(learning.must_settle());
  EXPECT_THAT(learning.settle(), testing::HasSubstr("the gradient is not finite in step 6"));
  EXPECT_EQ(learning.status(), ClassLearning::Status::failed);
}

TEST_F(InversionDeviceTest, TheStageLearnsOnTheDeviceWithWhatItsMemoryHolds) {
  auto request = fixture_.request("identifiers");
  auto config = fixture_.models;
  config.precision = Precision::fp32;
  request.load_model = [&] { return std::make_shared<DiffusionModel>(config, pretended::device); };
  EXPECT_FALSE(learn_identifiers(shared_.world, request));
  EXPECT_TRUE(learn_identifiers(shared_.world, request));
}

}  // namespace
}  // namespace deda::diffusion
