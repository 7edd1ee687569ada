#include "diffusion/sampling/noise_schedule.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"

namespace deda::diffusion {

namespace {

using Json = nlohmann::json;

// Classes of diffusers whose training schedule means the same as ours.
constexpr std::array<std::string_view, 11> known_classes = {"DDIMScheduler",
                                                            "DDPMScheduler",
                                                            "DEISMultistepScheduler",
                                                            "DPMSolverMultistepScheduler",
                                                            "DPMSolverSinglestepScheduler",
                                                            "EulerAncestralDiscreteScheduler",
                                                            "EulerDiscreteScheduler",
                                                            "HeunDiscreteScheduler",
                                                            "LMSDiscreteScheduler",
                                                            "PNDMScheduler",
                                                            "UniPCMultistepScheduler"};

template <class Names>
std::string listed(const Names& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + std::string{name};
  return all;
}

// One JSON object; every complaint is kept, so that one run tells all.
class SchedulerFile {
 public:
  SchedulerFile(const Json& json, std::string path) : json_{json}, path_{std::move(path)} {}

  void problem(std::string_view key, std::string what, std::string hint = {}) {
    problems_.push_back({std::string{key} + " " + std::move(what), path_, std::move(hint)});
  }
  // Nothing when the key is absent or null.
  const Json* find(std::string_view key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  void read(std::string_view key, double& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_number())
      value = found->get<double>();
    else
      problem(key, "is " + found->dump() + ", expected a number");
  }
  void read(std::string_view key, std::int64_t& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_number_integer())
      value = found->get<std::int64_t>();
    else
      problem(key, "is " + found->dump() + ", expected a whole number");
  }
  void read(std::string_view key, std::optional<bool>& value) {
    const Json* found = find(key);
    if (found == nullptr) return;
    if (found->is_boolean())
      value = found->get<bool>();
    else
      problem(key, "is " + found->dump() + ", expected true or false");
  }
  template <class E, std::size_t count>
  void read(std::string_view key, E& value, const std::array<std::pair<std::string_view, E>, count>& names) {
    const Json* found = find(key);
    if (found == nullptr) return;
    std::vector<std::string_view> valid;
    for (const auto& [name, each] : names) {
      valid.push_back(name);
      if (found->is_string() && found->get_ref<const std::string&>() == name) {
        value = each;
        return;
      }
    }
    problem(key, "is " + found->dump() + ", which is not supported", "Supported: " + listed(valid) + ".");
  }
  void throw_if_any() const {
    if (!problems_.empty()) throw DataError(problems_);
  }

 private:
  const Json& json_;
  std::string path_;
  std::vector<Problem> problems_;
};

void check_class(SchedulerFile& file) {
  const Json* found = file.find("_class_name");
  if (found == nullptr || !found->is_string()) {
    file.problem("_class_name", "is missing or no text", "Is this a scheduler_config.json of diffusers?");
    return;
  }
  const auto name = found->get<std::string>();
  const std::vector<std::string> candidates(known_classes.begin(), known_classes.end());
  if (std::find(candidates.begin(), candidates.end(), name) != candidates.end()) return;
  const auto nearest = nearest_name(name, candidates);
  file.problem("_class_name", "is " + name + ", an unknown scheduler class",
               (nearest.empty() ? "" : "Did you mean " + nearest + "? ") + std::string{"Known: "} +
                   listed(known_classes) + ".");
}

// Options that change what was trained, with the only value that is supported.
void check_training_options(SchedulerFile& file) {
  if (file.find("trained_betas") != nullptr)
    file.problem("trained_betas", "is set: betas listed one by one are not supported");
  if (const Json* rescale = file.find("rescale_betas_zero_snr");
      rescale != nullptr && *rescale != Json(false))
    file.problem("rescale_betas_zero_snr",
                 "is " + rescale->dump() + ": schedules of zero terminal SNR are not supported");
  if (const Json* type = file.find("timestep_type"); type != nullptr && *type != Json("discrete"))
    file.problem("timestep_type", "is " + type->dump() + ", only \"discrete\" is supported");
}

// What makes no schedule, as (key, complaint).
std::vector<std::pair<std::string, std::string>> range_problems(const NoiseScheduleConfig& config) {
  std::vector<std::pair<std::string, std::string>> problems;
  if (!(config.beta_start > 0 && config.beta_start <= config.beta_end && config.beta_end < 1))
    problems.emplace_back("beta_start, beta_end", "must fulfil 0 < beta_start <= beta_end < 1");
  if (config.num_train_timesteps < 2) problems.emplace_back("num_train_timesteps", "must be at least 2");
  if (config.steps_offset < 0 || config.steps_offset >= std::max<std::int64_t>(1, config.num_train_timesteps))
    problems.emplace_back("steps_offset", "must be at least 0 and less than num_train_timesteps");
  return problems;
}

}  // namespace

NoiseScheduleConfig stable_diffusion_schedule() {
  NoiseScheduleConfig config;
  config.beta_start = 0.00085;
  config.beta_end = 0.012;
  config.beta_schedule = BetaSchedule::scaled_linear;
  config.steps_offset = 1;
  config.set_alpha_to_one = false;
  return config;
}

NoiseScheduleConfig read_scheduler_config(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path))
    throw DataError("is missing or no file", path.string(), "Expected a scheduler_config.json of diffusers.");
  const Json json = Json::parse(read_text(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    throw DataError("is no JSON object", path.string(), "Expected a scheduler_config.json of diffusers.");
  SchedulerFile file(json, path.string());
  NoiseScheduleConfig config;
  check_class(file);
  file.read("beta_start", config.beta_start);
  file.read("beta_end", config.beta_end);
  file.read("beta_schedule", config.beta_schedule,
            std::array<std::pair<std::string_view, BetaSchedule>, 2>{
                {{"scaled_linear", BetaSchedule::scaled_linear}, {"linear", BetaSchedule::linear}}});
  file.read("num_train_timesteps", config.num_train_timesteps);
  file.read("steps_offset", config.steps_offset);
  file.read("set_alpha_to_one", config.set_alpha_to_one);
  file.read("prediction_type", config.prediction_type,
            std::array<std::pair<std::string_view, PredictionType>, 2>{
                {{"epsilon", PredictionType::epsilon}, {"v_prediction", PredictionType::v_prediction}}});
  check_training_options(file);
  for (const auto& [key, what] : range_problems(config)) file.problem(key, what);
  file.throw_if_any();
  return config;
}

at::Tensor betas_of(const NoiseScheduleConfig& config, at::ScalarType type) {
  const auto count = config.num_train_timesteps;
  if (config.beta_schedule == BetaSchedule::linear)
    return at::linspace(config.beta_start, config.beta_end, count, type);
  return at::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), count, type).pow(2);
}

NoiseSchedule::NoiseSchedule(const NoiseScheduleConfig& config) : config_{config} {
  std::vector<Problem> problems;
  for (const auto& [key, what] : range_problems(config)) problems.push_back({what, key, ""});
  if (!problems.empty()) throw ConfigError(problems);
  alphas_cumprod_ = at::cumprod(1.0 - betas_of(config, at::kFloat), 0).contiguous();
  const float* data = alphas_cumprod_.data_ptr<float>();
  abar_.assign(data, data + alphas_cumprod_.numel());
}

float NoiseSchedule::alpha(std::int64_t t) const {
  return std::sqrt(alpha_cumprod(t));
}
float NoiseSchedule::noise_share(std::int64_t t) const {
  return std::sqrt(1.0f - alpha_cumprod(t));
}
float NoiseSchedule::sigma(std::int64_t t) const {
  return sigma_of(alpha_cumprod(t));
}
float NoiseSchedule::lambda(std::int64_t t) const {
  return std::log(alpha(t)) - std::log(noise_share(t));
}

float sigma_of(float alpha_cumprod) {
  return std::sqrt((1.0f - alpha_cumprod) / alpha_cumprod);
}

}  // namespace deda::diffusion
