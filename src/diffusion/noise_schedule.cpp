#include "diffusion/noise_schedule.h"

#include <ATen/ATen.h>

#include <array>

#include "models/json_config.h"

namespace deda::diffusion {
namespace {

// Scheduler classes whose files this program reads; which sampler runs is the configuration's choice.
constexpr std::array<const char*, 6> known_classes{"PNDMScheduler",          "DDIMScheduler",
                                                   "DDPMScheduler",          "EulerDiscreteScheduler",
                                                   "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"};

}  // namespace

NoiseScheduleConfig read_scheduler_config(const std::filesystem::path& file) {
  models::JsonConfig json(file);
  NoiseScheduleConfig config;
  const auto name = json.text("_class_name", "PNDMScheduler");
  bool known = false;
  std::string list;
  for (const auto* each : known_classes) {
    known = known || name == each;
    list += (list.empty() ? "" : ", ") + std::string{each};
  }
  if (!known) json.problem("_class_name", "unknown scheduler \"" + name + "\"", "Known: " + list + ".");
  config.beta_start = json.number("beta_start", 0.0001);
  config.beta_end = json.number("beta_end", 0.02);
  const auto schedule = json.text("beta_schedule", "linear");
  config.scaled_linear = schedule == "scaled_linear";
  if (!config.scaled_linear && schedule != "linear")
    json.problem("beta_schedule", "\"" + schedule + "\" is not supported", "Supported: scaled_linear, linear.");
  if (config.beta_start <= 0 || config.beta_end <= config.beta_start || config.beta_end >= 1)
    json.problem("beta_start", "0 < beta_start < beta_end < 1 does not hold");
  config.train_timesteps = json.integer("num_train_timesteps", 1000);
  config.steps_offset = json.integer("steps_offset", 0);
  config.set_alpha_to_one = json.boolean("set_alpha_to_one", json.has("set_alpha_to_one"));
  const auto prediction = json.text("prediction_type", "epsilon");
  config.v_prediction = prediction == "v_prediction";
  if (!config.v_prediction && prediction != "epsilon")
    json.problem("prediction_type", "\"" + prediction + "\" is not supported", "Supported: epsilon, v_prediction.");
  json.expect_null("trained_betas");
  json.expect_boolean("rescale_betas_zero_snr", false);
  json.expect_boolean("clip_sample", false);
  json.expect_boolean("thresholding", false);
  json.finish();
  return config;
}

std::string to_json(const NoiseScheduleConfig& config) {
  models::JsonText json;
  json.text("_class_name", "PNDMScheduler");
  json.number("beta_end", config.beta_end);
  json.text("beta_schedule", config.scaled_linear ? "scaled_linear" : "linear");
  json.number("beta_start", config.beta_start);
  json.boolean("clip_sample", false);
  json.integer("num_train_timesteps", config.train_timesteps);
  json.text("prediction_type", config.v_prediction ? "v_prediction" : "epsilon");
  json.boolean("set_alpha_to_one", config.set_alpha_to_one);
  json.boolean("skip_prk_steps", true);
  json.integer("steps_offset", config.steps_offset);
  return json.str();
}

NoiseSchedule::NoiseSchedule(const NoiseScheduleConfig& config) : config_{config} {
  const auto steps = config.train_timesteps;
  at::Tensor betas;
  if (config.scaled_linear) {
    betas = at::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), steps, at::kFloat).square();
  } else {
    betas = at::linspace(config.beta_start, config.beta_end, steps, at::kFloat);
  }
  alphas_cumprod_ = at::cumprod(1.0 - betas, 0);
  const auto sigmas = ((1 - alphas_cumprod_) / alphas_cumprod_).sqrt().contiguous();
  values_.assign(alphas_cumprod_.data_ptr<float>(), alphas_cumprod_.data_ptr<float>() + steps);
  sigmas_.assign(sigmas.data_ptr<float>(), sigmas.data_ptr<float>() + steps);
}

namespace {

struct Factors {
  at::Tensor signal, noise;
};
Factors factors(const at::Tensor& alphas, const at::Tensor& like, const at::Tensor& timesteps) {
  const auto abar = alphas.to(like.device()).index_select(0, timesteps.to(like.device())).view({-1, 1, 1, 1});
  return {abar.sqrt(), (1 - abar).sqrt()};
}

}  // namespace

at::Tensor NoiseSchedule::add_noise(const at::Tensor& clean, const at::Tensor& noise,
                                    const at::Tensor& timesteps) const {
  const auto f = factors(alphas_cumprod_, clean, timesteps);
  return f.signal * clean + f.noise * noise;
}

at::Tensor NoiseSchedule::target(const at::Tensor& clean, const at::Tensor& noise,
                                 const at::Tensor& timesteps) const {
  if (!config_.v_prediction) return noise;
  const auto f = factors(alphas_cumprod_, clean, timesteps);
  return f.signal * noise - f.noise * clean;
}

}  // namespace deda::diffusion
