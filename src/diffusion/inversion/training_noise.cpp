#include "diffusion/inversion/training_noise.h"

#include <ATen/ATen.h>

#include "device/upload.h"
#include "models/weights/json_config.h"

namespace deda::diffusion {
namespace {

struct Shares {
  torch::Tensor signal, noise;  // [B, 1, 1, 1]
};
Shares shares_at(const NoiseSchedule& schedule, const torch::Tensor& like, const torch::Tensor& timesteps) {
  const auto abar = device::upload(schedule.alphas_cumprod(), like.device())
                        .index_select(0, device::upload(timesteps, like.device()))
                        .view({-1, 1, 1, 1});
  return {abar.sqrt(), (1 - abar).sqrt()};
}

}  // namespace

torch::Tensor noised(const NoiseSchedule& schedule, const torch::Tensor& clean, const torch::Tensor& noise,
                     const torch::Tensor& timesteps) {
  const auto shares = shares_at(schedule, clean, timesteps);
  return shares.signal * clean + shares.noise * noise;
}

torch::Tensor prediction_target(const NoiseSchedule& schedule, const torch::Tensor& clean,
                                const torch::Tensor& noise, const torch::Tensor& timesteps) {
  if (schedule.config().prediction_type == PredictionType::epsilon) return noise;
  const auto shares = shares_at(schedule, clean, timesteps);
  return shares.signal * noise - shares.noise * clean;
}

std::string to_json(const NoiseScheduleConfig& config) {
  models::JsonText json;
  json.text("_class_name", "PNDMScheduler");
  json.number("beta_end", config.beta_end);
  json.text("beta_schedule",
            config.beta_schedule == BetaSchedule::scaled_linear ? "scaled_linear" : "linear");
  json.number("beta_start", config.beta_start);
  json.boolean("clip_sample", false);
  json.integer("num_train_timesteps", config.num_train_timesteps);
  json.text("prediction_type",
            config.prediction_type == PredictionType::epsilon ? "epsilon" : "v_prediction");
  json.boolean("set_alpha_to_one", config.set_alpha_to_one.value_or(false));
  json.boolean("skip_prk_steps", true);
  json.integer("steps_offset", config.steps_offset);
  return json.str();
}

}  // namespace deda::diffusion
