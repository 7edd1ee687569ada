// How much noise a latent carries at each training timestep, as diffusers computes it in float32.
// Source: diffusers schedulers (betas, alphas_cumprod); generation facts: paper equations 1 to 3.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace deda::diffusion {

// The fields of scheduler/scheduler_config.json that matter.
struct NoiseScheduleConfig {
  double beta_start = 0.00085, beta_end = 0.012;
  bool scaled_linear = true;  // else linear
  std::int64_t train_timesteps = 1000;
  std::int64_t steps_offset = 1;
  bool set_alpha_to_one = false;
  bool v_prediction = false;  // else epsilon
};

// DataError lists everything in the file that is malformed or not supported, an unknown scheduler class too.
NoiseScheduleConfig read_scheduler_config(const std::filesystem::path& file);
std::string to_json(const NoiseScheduleConfig& config);

class NoiseSchedule {
 public:
  explicit NoiseSchedule(const NoiseScheduleConfig& config);
  const NoiseScheduleConfig& config() const { return config_; }
  const at::Tensor& alphas_cumprod() const { return alphas_cumprod_; }  // [T] float32 on the CPU
  double alpha_bar(std::int64_t t) const { return values_[static_cast<std::size_t>(t)]; }
  // sqrt((1 - abar) / abar), in float32 as diffusers has it.
  float sigma(std::int64_t t) const { return sigmas_[static_cast<std::size_t>(t)]; }
  const std::vector<float>& sigmas() const { return sigmas_; }
  // x_t = sqrt(abar_t) clean + sqrt(1 - abar_t) noise for timesteps [B]; clean, noise [B, ...] float32.
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise, const at::Tensor& timesteps) const;
  // What the network is to predict: the noise, or the velocity.
  at::Tensor target(const at::Tensor& clean, const at::Tensor& noise, const at::Tensor& timesteps) const;

 private:
  NoiseScheduleConfig config_;
  at::Tensor alphas_cumprod_;
  std::vector<float> values_, sigmas_;
};

}  // namespace deda::diffusion
