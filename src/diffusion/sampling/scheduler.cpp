#include "diffusion/sampling/scheduler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/error.h"
#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

std::string shortest(double number) {
  std::string text = std::to_string(number);
  text.erase(text.find_last_not_of('0') + 1);
  return text + (text.back() == '.' ? "0" : "");
}

void check(std::int64_t steps, double strength, std::int64_t train_timesteps) {
  std::vector<Problem> problems;
  if (steps < 1 || steps >= train_timesteps) {
    problems.push_back({"there are " + std::to_string(steps) + " steps for " +
                            std::to_string(train_timesteps) + " training timesteps",
                        "steps", "Choose from 1 to " + std::to_string(train_timesteps - 1) + "."});
  }
  if (!(strength > 0 && strength <= 1)) {
    problems.push_back({"is " + shortest(strength), "strength", "Choose more than 0 and at most 1."});
  } else if (steps >= 1 && evaluations(steps, strength) == 0) {
    problems.push_back({"with " + std::to_string(steps) + " steps and strength " + shortest(strength) +
                            " no step is left to do: int(steps * strength) is 0",
                        "steps, strength", "Raise one of them to steps * strength >= 1."});
  }
  if (!problems.empty()) throw ConfigError(problems);
}

// numpy.round: half to even.
std::int64_t rounded(double value) {
  return static_cast<std::int64_t>(std::nearbyint(value));
}

// PLMS evaluates the second timestep twice.
std::vector<std::int64_t> with_second_repeated(std::vector<std::int64_t> grid) {
  if (grid.size() >= 2) grid.insert(grid.begin() + 1, grid[1]);
  return grid;
}

}  // namespace

std::string_view name_of(SchedulerKind kind) {
  switch (kind) {
    case SchedulerKind::dpmpp2m_linspace:
      return "dpmpp2m_linspace";
    case SchedulerKind::dpmpp2m_leading:
      return "dpmpp2m_leading";
    case SchedulerKind::ddim_leading:
      return "ddim_leading";
    case SchedulerKind::euler_leading:
      return "euler_leading";
    case SchedulerKind::euler_ancestral_leading:
      return "euler_ancestral_leading";
    case SchedulerKind::euler_ancestral_linspace:
      return "euler_ancestral_linspace";
    case SchedulerKind::pndm_faithful:
      return "pndm_faithful";
    case SchedulerKind::karras25_cli:
      return "karras25_cli";
  }
  throw std::logic_error("no such scheduler kind");
}

std::int64_t evaluations(std::int64_t steps, double strength) {
  return std::min(static_cast<std::int64_t>(static_cast<double>(steps) * strength), steps);
}

std::int64_t first_index(std::int64_t steps, double strength) {
  return std::max<std::int64_t>(steps - evaluations(steps, strength), 0);
}

std::vector<double> TimeGrid::evaluated() const {
  return {timesteps.begin() + static_cast<std::ptrdiff_t>(begin_index), timesteps.end()};
}

std::vector<std::int64_t> linspace_grid(std::int64_t steps, std::int64_t train_timesteps) {
  std::vector<std::int64_t> grid;
  const double gap = static_cast<double>(train_timesteps - 1) / static_cast<double>(steps);
  for (std::int64_t i = steps; i >= 1; --i)  // numpy.linspace sets its last element to the end exactly
    grid.push_back(i == steps ? train_timesteps - 1 : rounded(static_cast<double>(i) * gap));
  return grid;
}

std::vector<double> fractional_linspace(std::int64_t steps, std::int64_t train_timesteps) {
  const auto last = static_cast<double>(train_timesteps - 1);
  const double gap = steps > 1 ? last / static_cast<double>(steps - 1) : 0.0;
  std::vector<double> grid;
  for (std::int64_t i = steps - 1; i >= 0; --i)  // numpy.linspace sets its last element to the end exactly
    grid.push_back(static_cast<float>(i > 0 && i == steps - 1 ? last : static_cast<double>(i) * gap));
  return grid;
}

std::vector<std::int64_t> leading_grid(std::int64_t steps, std::int64_t ratio, std::int64_t first) {
  std::vector<std::int64_t> grid;
  for (std::int64_t i = steps - 1; i >= 0; --i) grid.push_back(first + i * ratio);
  return grid;
}

float alpha_cumprod_or_final(const NoiseSchedule& schedule, std::int64_t t, bool set_alpha_to_one) {
  if (t >= 0) return schedule.alpha_cumprod(t);
  return set_alpha_to_one ? 1.0f : schedule.alpha_cumprod(0);
}

at::Tensor exploding_model_input(const at::Tensor& sample, float sigma) {
  return sample / std::sqrt(sigma * sigma + 1.0f);
}

at::Tensor exploding_clean(PredictionType type, const at::Tensor& prediction, const at::Tensor& sample,
                           float sigma) {
  if (type == PredictionType::epsilon) return sample - sigma * prediction;
  const float variance = sigma * sigma + 1.0f;
  return prediction * (-sigma / std::sqrt(variance)) + sample / variance;
}

Scheduler::Scheduler(std::vector<double> timesteps, std::vector<double> sigmas)
    : timesteps_{std::move(timesteps)}, sigmas_{std::move(sigmas)} {
  if (timesteps_.empty() || sigmas_.size() != timesteps_.size() + 1)
    throw std::logic_error("a scheduler needs one noise level more than timesteps");
}

at::Tensor Scheduler::scaled(const at::Tensor& sample, std::size_t) const {
  return sample;
}

at::Tensor Scheduler::add_noise(const at::Tensor& clean, const at::Tensor& noise) const {
  const at::NoGradGuard no_gradients;
  return noised(clean.to(at::kFloat), noise.to(at::kFloat)).to(clean.scalar_type());
}

at::Tensor Scheduler::model_input(const at::Tensor& sample, std::size_t k) const {
  if (k >= timesteps_.size()) throw std::logic_error("model_input: there is no such step");
  const at::NoGradGuard no_gradients;
  return scaled(sample.to(at::kFloat), k).to(sample.scalar_type());
}

at::Tensor Scheduler::step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                           const at::Tensor& fresh_noise) {
  if (k >= timesteps_.size() || (k != 0 && k != next_step_))
    throw std::logic_error("step " + std::to_string(k) + " is out of order: expected 0 or " +
                           std::to_string(next_step_));
  if (needs_noise() && !fresh_noise.defined())
    throw std::logic_error("this scheduler needs fresh noise in every step");
  const at::NoGradGuard no_gradients;
  if (k == 0) forget();
  next_step_ = k + 1;
  const auto noise = fresh_noise.defined() ? fresh_noise.to(at::kFloat) : fresh_noise;
  return advanced(k, prediction.to(at::kFloat), sample.to(at::kFloat), noise).to(sample.scalar_type());
}

std::unique_ptr<Scheduler> make_scheduler(SchedulerKind kind, const NoiseScheduleConfig& config,
                                          std::int64_t steps, double strength) {
  const NoiseSchedule schedule(config);
  const std::int64_t train_timesteps = config.num_train_timesteps;
  check(steps, strength, train_timesteps);
  const auto begin = static_cast<std::size_t>(first_index(steps, strength));
  const auto grid_of = [&](std::vector<std::int64_t> timesteps) {
    if (timesteps.front() >= train_timesteps)
      throw ConfigError("with " + std::to_string(steps) + " steps the first timestep is " +
                            std::to_string(timesteps.front()) + ", training went up to " +
                            std::to_string(train_timesteps - 1),
                        "steps, steps_offset", "Choose fewer steps or a smaller steps_offset.");
    return TimeGrid{std::move(timesteps), begin};
  };
  const std::int64_t stride = train_timesteps / steps;
  const auto leading = [&] { return leading_grid(steps, stride, config.steps_offset); };
  switch (kind) {
    case SchedulerKind::dpmpp2m_linspace:
      return make_dpm_solver(schedule, grid_of(linspace_grid(steps, train_timesteps)));
    case SchedulerKind::dpmpp2m_leading: {
      const std::int64_t ratio = train_timesteps / (steps + 1);
      return make_dpm_solver(schedule, grid_of(leading_grid(steps, ratio, ratio + config.steps_offset)));
    }
    case SchedulerKind::ddim_leading:
      return make_ddim(schedule, grid_of(leading()), stride);
    case SchedulerKind::euler_leading:
      return make_euler(schedule, grid_of(leading()).evaluated(), EulerNoise::none);
    case SchedulerKind::euler_ancestral_leading:
      return make_euler(schedule, grid_of(leading()).evaluated(), EulerNoise::ancestral);
    case SchedulerKind::euler_ancestral_linspace: {
      auto timesteps = fractional_linspace(steps, train_timesteps);
      timesteps.erase(timesteps.begin(), timesteps.begin() + static_cast<std::ptrdiff_t>(begin));
      return make_euler(schedule, timesteps, EulerNoise::ancestral);
    }
    case SchedulerKind::pndm_faithful:
      return make_pndm(schedule, grid_of(with_second_repeated(leading())), stride);
    case SchedulerKind::karras25_cli:
      return make_karras_cli(config, steps, strength);
  }
  throw std::logic_error("no such scheduler kind");
}

double init_noise_sigma(SchedulerKind kind, const NoiseScheduleConfig& config, std::int64_t steps) {
  const double whole = 1.0;
  const auto scheduler = make_scheduler(kind, config, steps, whole);
  const auto largest = static_cast<float>(scheduler->sigmas().front());
  switch (kind) {
    case SchedulerKind::euler_leading:
    case SchedulerKind::euler_ancestral_leading:
      return std::sqrt(largest * largest + 1.0f);
    case SchedulerKind::euler_ancestral_linspace:
    case SchedulerKind::karras25_cli:
      return largest;
    default:
      return 1.0;
  }
}

}  // namespace deda::diffusion
