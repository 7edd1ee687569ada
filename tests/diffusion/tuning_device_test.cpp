// Tuning on the pretended GPU: the CPU's numbers, and no waiting between the looks at them.
#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "core/log.h"
#include "diffusion/tuning_fixture.h"
#include "pretended_device/pretended_device.h"

namespace deda::diffusion {
namespace {

class TuningDeviceTest : public testing::Test {
 protected:
  TuningDeviceTest() : fixture_{comm::Communicator::self(), folder_.path()} {
    set_up_log(0, 1, LogLevel::error);
    pretended::plugin().set_device(0);
    fixture_.models.precision = fixture_.models.vae_precision = Precision::fp32;
    auto& tune = fixture_.settings.tune;
    tune.crop = TuneCrop::center;
    tune.flip = 0;  // two steps have shown every picture
    tune.steps = 30;
    tune.report_every = 30;
    tune.learning_rate = tune.token_learning_rate = 1e-3;
  }
  void TearDown() override { pretended::plugin().forbid_waiting(false); }
  std::shared_ptr<DiffusionModel> load(at::Device device) const {
    return std::make_shared<DiffusionModel>(fixture_.models, device, UNetWeights::plain, LatentCodec::plain);
  }
  static at::Tensor numbers_of(const Tuner& tuner) {
    return at::cat({tuner.lora().values().cpu(), tuner.rows()[0].cpu().flatten()});
  }
  test::TemporaryFolder folder_;
  test::TuningFixture fixture_;
};

TEST_F(TuningDeviceTest, StepsAreTheCpusAndDoNotWaitBetweenLooks) {
  const auto here = load(at::kCPU), there = load(pretended::device);
  Tuner on_cpu(*here, fixture_.pictures, fixture_.settings),
      on_device(*there, fixture_.pictures, fixture_.settings);
  constexpr int steps_to_see_all = 2, steps = 8;
  for (int step = 0; step < steps; ++step) {
    on_cpu.take_step();
    const bool kept = step >= steps_to_see_all;
    pretended::plugin().forbid_waiting(kept);
    pretended::reset_counters();
    EXPECT_EQ(on_device.take_step(), "");
    if (kept) {
      EXPECT_EQ(pretended::counters().waits, 0) << "step " << step;
    }
    EXPECT_FALSE(on_device.settled());
  }
  pretended::plugin().forbid_waiting(false);
  EXPECT_EQ(on_device.settle(), "");
  EXPECT_TRUE(on_device.settled());
  EXPECT_NEAR(on_device.last_loss(), on_cpu.last_loss(), 2e-5 * on_cpu.last_loss());
  const auto expected = numbers_of(on_cpu);
  // AdamW divides by the root of the second moment: what is rounding in a gradient may be a step.
  EXPECT_LT((numbers_of(on_device) - expected).norm().item<double>(), 2e-4 * expected.norm().item<double>());
}

TEST_F(TuningDeviceTest, BadNumbersAreFoundAtTheNextLook) {
  const auto model = load(pretended::device);
  Tuner tuner(*model, fixture_.pictures, fixture_.settings);
  for (int step = 0; step < 3; ++step) tuner.take_step();
  {
    const at::NoGradGuard no_gradients;
    tuner.lora().values().fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_EQ(tuner.take_step(), "");
  EXPECT_THAT(tuner.settle(), testing::HasSubstr("the loss is not a finite number in step 4"));
  EXPECT_EQ(tuner.attempt(), 1);
  EXPECT_EQ(tuner.step(), 0);
  EXPECT_TRUE(at::isfinite(tuner.lora().values().cpu()).all().item<bool>());
  tuner.take_step();
  EXPECT_EQ(tuner.settle(), "");
}

// fp16 scales its losses: a gradient that overflows costs its step alone, and halves the scale.
TEST_F(TuningDeviceTest, HalfPrecisionScalesItsLosses) {
  fixture_.models.precision = Precision::fp16;
  const auto model = load(pretended::device);
  Tuner tuner(*model, fixture_.pictures, fixture_.settings);
  for (int step = 0; step < 6; ++step) EXPECT_EQ(tuner.take_step(), "");
  EXPECT_EQ(tuner.step(), 6);
  EXPECT_TRUE(tuner.settled());
  EXPECT_TRUE(std::isfinite(tuner.last_loss()));
  EXPECT_LT(tuner.skipped_steps(), 6);
  // Continued from what is saved: the same numbers.
  const auto saved = tuner.save();
  tuner.take_step();
  const auto expected = numbers_of(tuner);
  tuner.restore(saved);
  tuner.take_step();
  EXPECT_TRUE(numbers_of(tuner).equal(expected));
}

}  // namespace
}  // namespace deda::diffusion
