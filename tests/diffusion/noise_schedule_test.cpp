// The noise schedule against diffusers' numbers; scheduler_config.json files, good and faulty.
#include "diffusion/sampling/noise_schedule.h"

#include <cmath>
#include <numeric>

#include "core/files.h"
#include "diffusion/golden_schedulers.h"
#include "support/temporary_folder.h"

namespace deda::diffusion {
namespace {

using test::golden;
using test::problems_of;

class SchedulerConfig : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& text) {
    const auto path = folder_ / "scheduler_config.json";
    write_atomically(path, text);
    return path;
  }
  deda::test::TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
};

TEST(NoiseSchedule, HasDiffusersNumbers) {
  constexpr double float_rounding = 1e-7;  // of one float32 number
  const NoiseSchedule schedule(stable_diffusion_schedule());
  for (const auto& row : golden().at("table")) {
    const auto t = row.at("t").get<std::int64_t>();
    const double abar = row.at("abar"), sigma = row.at("sigma");
    EXPECT_NEAR(schedule.alpha_cumprod(t), row.at("abar_float32").get<double>(), float_rounding) << t;
    EXPECT_NEAR(schedule.alpha_cumprod(t), abar, 1e-6) << t;
    EXPECT_NEAR(schedule.alpha(t), std::sqrt(abar), 1e-6) << t;
    EXPECT_NEAR(schedule.sigma(t) / sigma, 1.0, t == 0 ? 1e-4 : 1e-5) << t;  // 1 - 0.99915 in float32
    EXPECT_NEAR(schedule.lambda(t), -std::log(sigma), 1e-4) << t;
  }
  EXPECT_EQ(schedule.alphas_cumprod().scalar_type(), torch::kFloat);
  EXPECT_EQ(schedule.alphas_cumprod().numel(), 1000);
}

TEST(NoiseSchedule, OfImpossibleBetasIsAConfigurationError) {
  auto config = stable_diffusion_schedule();
  config.beta_end = 0.0001;
  config.steps_offset = 1000;
  const auto text = problems_of([&] { NoiseSchedule{config}; });
  EXPECT_NE(text.find("beta_start <= beta_end"), std::string::npos) << text;
  EXPECT_NE(text.find("steps_offset"), std::string::npos) << text;
}

TEST_F(SchedulerConfig, OfStableDiffusionIsRead) {
  const auto path = file(R"({"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
    "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false})");
  const auto config = read_scheduler_config(path), expected = stable_diffusion_schedule();
  EXPECT_EQ(config.beta_start, expected.beta_start);
  EXPECT_EQ(config.beta_end, expected.beta_end);
  EXPECT_EQ(config.beta_schedule, expected.beta_schedule);
  EXPECT_EQ(config.num_train_timesteps, expected.num_train_timesteps);
  EXPECT_EQ(config.steps_offset, expected.steps_offset);
  EXPECT_EQ(config.set_alpha_to_one, expected.set_alpha_to_one);
  EXPECT_EQ(config.prediction_type, expected.prediction_type);
}

TEST_F(SchedulerConfig, WithoutKeysHasTheDefaultsOfDiffusersClasses) {
  const auto config = read_scheduler_config(
      file(R"({"_class_name": "EulerDiscreteScheduler", "prediction_type": "v_prediction"})"));
  EXPECT_EQ(config.beta_start, 0.0001);
  EXPECT_EQ(config.beta_end, 0.02);
  EXPECT_EQ(config.beta_schedule, BetaSchedule::linear);
  EXPECT_FALSE(config.set_alpha_to_one.has_value());
  EXPECT_EQ(config.prediction_type, PredictionType::v_prediction);
  // prod(1 - linspace(0.0001, 0.02, 1000)), the schedule of the DDPM paper
  EXPECT_NEAR(NoiseSchedule(config).alpha_cumprod(999), 4.0358e-5, 1e-8);
}

TEST_F(SchedulerConfig, WithFaultsIsRefusedWithAllOfThem) {
  const auto text = problems_of([&] {
    read_scheduler_config(file(R"({"_class_name": "EulerDiscretScheduler", "beta_start": "small",
      "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 1000.5, "steps_offset": -1,
      "set_alpha_to_one": 1, "prediction_type": "flow_prediction", "trained_betas": [0.1],
      "rescale_betas_zero_snr": true, "timestep_type": "continuous"})"));
  });
  for (const auto* part :
       {"EulerDiscretScheduler, an unknown scheduler class. Did you mean EulerDiscreteScheduler?",
        "beta_start is \"small\", expected a number", "beta_schedule is \"squaredcos_cap_v2\"",
        "Supported: scaled_linear, linear", "num_train_timesteps is 1000.5, expected a whole number",
        "steps_offset must be at least 0", "set_alpha_to_one is 1, expected true or false",
        "prediction_type is \"flow_prediction\"", "trained_betas is set", "zero terminal SNR",
        "timestep_type is \"continuous\"", "scheduler_config.json"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
}

TEST_F(SchedulerConfig, ThatIsNoJsonObjectOrAbsentIsADataError) {
  for (const std::string text : {"", "{", "[1]", "\"text\""})
    EXPECT_THROW(read_scheduler_config(file(text)), DataError) << text;
  EXPECT_THROW(read_scheduler_config(folder_ / "nothing.json"), DataError);
  EXPECT_THROW(read_scheduler_config(folder_), DataError);
  EXPECT_THROW(read_scheduler_config(file("{}")), DataError);
}

}  // namespace
}  // namespace deda::diffusion
