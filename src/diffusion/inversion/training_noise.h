// The forward process on batches (paper, Eq. 1): what textual inversion and pretraining train on.
#pragma once

#include <torch/types.h>

#include <string>

#include "diffusion/sampling/noise_schedule.h"

namespace deda::diffusion {

// sqrt(abar_t) clean + sqrt(1 - abar_t) noise for timesteps [B] (int64); clean, noise [B, C, h, w] float32.
torch::Tensor noised(const NoiseSchedule& schedule, const torch::Tensor& clean, const torch::Tensor& noise,
                     const torch::Tensor& timesteps);
// What the network is to predict of it: the noise, or the velocity.
torch::Tensor prediction_target(const NoiseSchedule& schedule, const torch::Tensor& clean,
                                const torch::Tensor& noise, const torch::Tensor& timesteps);

// scheduler_config.json as diffusers reads it.
std::string to_json(const NoiseScheduleConfig& config);

}  // namespace deda::diffusion
