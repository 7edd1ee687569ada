// How a diffusion model was trained to see noise: the betas of a diffusers scheduler_config.json and what
// follows from them. x_t = alpha(t) x_0 + noise_share(t) eps (paper, Eq. 1). Computed with the float32
// operations of diffusers 0.42, because its last digits decide the sixth digit of every sampler step.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace deda::diffusion {

enum class BetaSchedule { scaled_linear, linear };
enum class PredictionType { epsilon, v_prediction };

// Defaults: those of the scheduler classes in diffusers, which count for keys that a file lacks.
struct NoiseScheduleConfig {
  double beta_start = 0.0001;
  double beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::linear;
  std::int64_t num_train_timesteps = 1000;
  std::int64_t steps_offset = 0;         // added to the timesteps of grids with leading spacing
  std::optional<bool> set_alpha_to_one;  // nothing: DDIM's default is true, PNDM's false
  PredictionType prediction_type = PredictionType::epsilon;
};

// The values in the files of Stable Diffusion 1.5 and SDXL.
NoiseScheduleConfig stable_diffusion_schedule();

// What the file says about training is taken over. What it says about sampling (class, spacing, Karras grid,
// solver, clipping) is not: the kind of scheduler fixes that. DataError with all problems: unreadable JSON,
// unknown class, wrong types and ranges, training schedules that are not supported.
NoiseScheduleConfig read_scheduler_config(const std::filesystem::path& path);

class NoiseSchedule {
 public:
  // ConfigError when the numbers make no schedule.
  explicit NoiseSchedule(const NoiseScheduleConfig& config);
  const NoiseScheduleConfig& config() const { return config_; }
  const torch::Tensor& alphas_cumprod() const { return alphas_cumprod_; }  // float32 [num_train_timesteps]
  // For 0 <= t < num_train_timesteps; float32 numbers.
  float alpha_cumprod(std::int64_t t) const { return abar_.at(static_cast<std::size_t>(t)); }
  float alpha(std::int64_t t) const;        // sqrt(abar)
  float noise_share(std::int64_t t) const;  // sqrt(1 - abar)
  float sigma(std::int64_t t) const;        // noise_share / alpha, as k-diffusion counts noise
  float lambda(std::int64_t t) const;       // log(alpha / noise_share)

 private:
  NoiseScheduleConfig config_;
  torch::Tensor alphas_cumprod_;
  std::vector<float> abar_;
};

// sqrt((1 - abar) / abar)
float sigma_of(float alpha_cumprod);

// The betas as a tensor of `type` (the LayerDiffuse pipeline computes them in float64).
torch::Tensor betas_of(const NoiseScheduleConfig& config, torch::ScalarType type);

}  // namespace deda::diffusion
