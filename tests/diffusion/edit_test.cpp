// Whole edits with guidance, a UNet in every step, against diffusers' img2img pipeline
// (tests/golden/edits.py).
#include <gtest/gtest.h>

#include "diffusion/sampling/scheduler.h"
#include "models/made_up_weights.h"
#include "models/small_unets.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {
namespace {

using test::made_up;

constexpr double guidance = 7.0, tolerance_of_scale = 1e-3;  // the promise; here not a bit differs

struct Edit {
  std::vector<double> timesteps;
  at::Tensor latents;
};

Edit edited(models::UNet& unet, SchedulerKind kind, double strength) {
  const auto scheduler = make_scheduler(kind, stable_diffusion_schedule(), 25, strength);
  // Without and with the text, in one batch.
  const auto text = at::cat({made_up(9104, {2, 7, 24}), made_up(9103, {2, 7, 24})});
  auto sample = scheduler->add_noise(made_up(9101, {2, 4, 12, 10}), made_up(9102, {2, 4, 12, 10}, -1.7, 1.7));
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    const auto input = scheduler->model_input(sample, k);
    const auto time = at::full({4}, scheduler->timesteps()[k], at::kFloat);
    const auto both = unet.forward(at::cat({input, input}), time, text).chunk(2);
    sample = scheduler->step(k, both[0] + guidance * (both[1] - both[0]), sample);
  }
  return {scheduler->timesteps(), sample};
}

TEST(Edit, WithGuidanceAndAUNetEqualsDiffusersPipelineEndToEnd) {
  const auto golden = models::read_tensors(DEDA_SOURCE_DIR "/tests/golden/edits.safetensors");
  models::UNet unet(test::sd15_like());
  test::fill_made_up(unet);
  models::freeze(unet);
  for (const auto kind :
       {SchedulerKind::dpmpp2m_linspace, SchedulerKind::ddim_leading, SchedulerKind::euler_leading}) {
    for (const std::string strength : {"0.4", "1.0"}) {
      const auto name = std::string{name_of(kind)} + "." + strength;
      const auto edit = edited(unet, kind, std::stod(strength));
      const auto timesteps = golden.at(name + ".timesteps");
      ASSERT_EQ(static_cast<std::int64_t>(edit.timesteps.size()), timesteps.numel()) << name;
      for (std::size_t k = 0; k < edit.timesteps.size(); ++k)
        EXPECT_EQ(edit.timesteps[k], timesteps[static_cast<std::int64_t>(k)].item<double>()) << name;
      const auto& expected = golden.at(name);
      const double error = (edit.latents - expected).abs().max().item<double>(),
                   size = expected.abs().max().item<double>();
      EXPECT_LT(error, tolerance_of_scale * size) << name;
      std::printf("%-22s error %.1e of scale\n", name.c_str(), error / size);
    }
  }
}

// The paper's edit: ten evaluations from t = 400 on.
TEST(Edit, OfThePaperIsTenEvaluationsFrom400) {
  const auto scheduler =
      make_scheduler(SchedulerKind::dpmpp2m_linspace, stable_diffusion_schedule(), 25, 0.4);
  EXPECT_EQ(scheduler->timesteps(), (std::vector<double>{400, 360, 320, 280, 240, 200, 160, 120, 80, 40}));
}

}  // namespace
}  // namespace deda::diffusion
