// Whole edits, step by step, against diffusers (karras25_cli: against numpy), with a made-up network.
#include <cmath>
#include <map>

#include "diffusion/golden_schedulers.h"

namespace deda::diffusion {
namespace {

using test::elements;
using test::golden;
using test::hashed;
using test::kind_named;
using test::network;

// Of the element's size, at least 1: samples of the Euler family reach 20.
constexpr double trajectory_tolerance = 1e-5;

NoiseScheduleConfig config_with(const std::string& prediction) {
  auto config = stable_diffusion_schedule();
  if (prediction == "v_prediction") config.prediction_type = PredictionType::v_prediction;
  return config;
}

torch::Tensor fresh_noise(const Scheduler& scheduler, std::size_t k) {
  return scheduler.needs_noise() ? hashed(test::fresh_index + k) : torch::Tensor();
}

// The start and every sample after it, in a row.
std::vector<torch::Tensor> trajectory(Scheduler& scheduler, torch::ScalarType type = torch::kFloat) {
  std::vector<torch::Tensor> samples = {
      scheduler.add_noise(hashed(test::clean_index).to(type), hashed(test::noise_index).to(type))};
  for (std::size_t k = 0; k < scheduler.timesteps().size(); ++k) {
    const auto input = scheduler.model_input(samples.back(), k);
    samples.push_back(scheduler.step(k, network(input, scheduler.timesteps()[k]).to(type), samples.back(),
                                     fresh_noise(scheduler, k)));
  }
  return samples;
}

TEST(Trajectory, OfEverySchedulerIsDiffusers) {
  std::map<std::string, int> cases;
  for (const auto& expected : golden().at("trajectories")) {
    const auto kind = expected.at("kind").get<std::string>();
    const auto prediction = expected.at("prediction").get<std::string>();
    const auto scheduler = make_scheduler(kind_named(kind), config_with(prediction), expected.at("steps"),
                                          expected.at("strength"));
    const auto what = kind + " " + prediction + " " + expected.at("strength").dump();
    const auto samples = trajectory(*scheduler);
    const auto values = expected.at("samples").get<std::vector<double>>();
    ASSERT_EQ(values.size(), samples.size() * static_cast<std::size_t>(elements)) << what;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto step = i / static_cast<std::size_t>(elements);
      const auto element = static_cast<std::int64_t>(i) % elements;
      ASSERT_NEAR(samples[step].flatten()[element].item<double>(), values[i],
                  trajectory_tolerance * std::max(1.0, std::abs(values[i])))
          << what << ", sample " << step;
    }
    ++cases[kind];
  }
  EXPECT_EQ(cases.size(), scheduler_kinds.size());
}

TEST(Trajectory, StartsAfreshWithStepZero) {
  for (const auto kind : scheduler_kinds) {
    const auto scheduler = make_scheduler(kind, config_with("epsilon"), 25, 0.4);
    const auto first = trajectory(*scheduler), second = trajectory(*scheduler);
    EXPECT_TRUE(torch::equal(first.back(), second.back())) << name_of(kind);
    const auto x = hashed(test::clean_index);
    scheduler->step(0, x, x, x);  // a trajectory that is given up
    EXPECT_TRUE(torch::equal(first.back(), trajectory(*scheduler).back())) << name_of(kind);
  }
}

TEST(Trajectory, InHalfPrecisionKeepsTheTypeAndLosesOnlyItsRounding) {
  constexpr double half_rounding = 0.05;  // 2^-8 of samples up to 5, over ten steps
  for (const auto kind : scheduler_kinds) {
    const auto scheduler = make_scheduler(kind, config_with("epsilon"), 25, 0.4);
    const auto half = trajectory(*scheduler, torch::kBFloat16);
    EXPECT_EQ(half.back().scalar_type(), torch::kBFloat16);
    const auto full = trajectory(*scheduler).back();
    EXPECT_LT((half.back().to(torch::kFloat) - full).abs().max().item<double>(), half_rounding)
        << name_of(kind);
  }
}

// A network that knows the answer: the noise that leads from x* to the sample at the nominal level.
torch::Tensor edited_by_oracle(SchedulerKind kind, double strength, const std::string& prediction) {
  const auto config = config_with(prediction);
  const NoiseSchedule schedule(config);
  const auto scheduler = make_scheduler(kind, config, 25, strength);
  const auto clean = hashed(test::clean_index);
  auto sample = scheduler->add_noise(clean, hashed(test::noise_index));
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    // From what the network sees, which has the same form for all of them.
    const double sigma = scheduler->sigmas()[k], alpha = 1 / std::sqrt(sigma * sigma + 1),
                 share = sigma * alpha;
    const auto input = scheduler->model_input(sample, k);
    const auto noise = (input - alpha * clean) / share;
    const auto answer = prediction == "epsilon" ? noise : alpha * noise - share * clean;
    sample = scheduler->step(k, answer, sample, fresh_noise(*scheduler, k));
  }
  return sample;
}

TEST(Trajectory, WithAnOracleForANetworkEndsOnTheCleanLatent) {
  constexpr double rounding = 2e-5;
  const auto clean = hashed(test::clean_index), noise = hashed(test::noise_index);
  const NoiseSchedule schedule(stable_diffusion_schedule());
  // DDIM and PNDM stop at the level of timestep 0.
  const auto nearly_clean = schedule.alpha(0) * clean + schedule.noise_share(0) * noise;
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    for (const double strength : {0.4, 1.0}) {
      for (const auto kind : scheduler_kinds) {
        // PNDM: flawed after a cut, and inexact where it extrapolates v instead of the noise.
        if (kind == SchedulerKind::pndm_faithful && (strength < 1 || prediction != "epsilon")) continue;
        const bool stops_early = kind == SchedulerKind::ddim_leading || kind == SchedulerKind::pndm_faithful;
        const auto error =
            (edited_by_oracle(kind, strength, prediction) - (stops_early ? nearly_clean : clean))
                .abs()
                .max()
                .item<double>();
        EXPECT_LT(error, rounding) << name_of(kind) << " " << strength << " " << prediction;
      }
    }
  }
}

// With the true noise for every prediction each transfer is exact, so what is missing shows.
TEST(Pndm, LacksOneTransitionInImg2imgAsDiffusersDoes) {
  constexpr double rounding = 1e-5;
  const NoiseSchedule schedule(stable_diffusion_schedule());
  const auto clean = hashed(test::clean_index), noise = hashed(test::noise_index);
  const auto edited = [&](double strength) {
    const auto scheduler = make_scheduler(SchedulerKind::pndm_faithful, schedule.config(), 25, strength);
    auto sample = scheduler->add_noise(clean, noise);
    for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k)
      sample = scheduler->step(k, noise, sample);
    return sample;
  };
  const auto error = [](const torch::Tensor& a, const torch::Tensor& b) {
    return (a - b).abs().max().item<double>();
  };
  const auto nearly_clean = schedule.alpha(0) * clean + schedule.noise_share(0) * noise;
  EXPECT_LT(error(edited(1.0), nearly_clean), rounding) << "no flaw where nothing is cut off";
  // From 401 to 361, twice; then as if the sample were at 321 down to 0: 361 to 321 was never done.
  const auto at_361 = schedule.alpha(361) * clean + schedule.noise_share(361) * noise;
  const auto flawed =
      schedule.alpha(0) * (at_361 / schedule.alpha(321) - (schedule.sigma(321) - schedule.sigma(0)) * noise);
  EXPECT_LT(error(edited(0.4), flawed), rounding);
  EXPECT_GT(error(flawed, nearly_clean), 0.05);
}

}  // namespace
}  // namespace deda::diffusion
