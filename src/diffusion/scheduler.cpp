#include "diffusion/scheduler.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace deda::diffusion {
namespace {

std::int64_t begin_of(std::int64_t steps, double strength) {
  return std::max<std::int64_t>(steps - img2img_steps(steps, strength), 0);
}

// (T // N) * i + offset, falling.
std::vector<std::int64_t> leading_grid(const NoiseScheduleConfig& config, std::int64_t steps) {
  const auto ratio = config.train_timesteps / steps;
  std::vector<std::int64_t> grid;
  for (std::int64_t i = steps - 1; i >= 0; --i)
    grid.push_back(std::min(i * ratio + config.steps_offset, config.train_timesteps - 1));
  return grid;
}

// What the prediction says about the clean latent and the noise, at signal a and noise level s (a^2 + s^2 = 1).
struct Split {
  at::Tensor clean, noise;
};
Split split(const NoiseScheduleConfig& config, const at::Tensor& x, const at::Tensor& prediction, float a, float s) {
  if (config.v_prediction) return {a * x - s * prediction, a * prediction + s * x};
  return {(x - s * prediction) / a, prediction};
}

class DpmSolver final : public Scheduler {
 public:
  DpmSolver(const NoiseSchedule& schedule, std::int64_t steps, double strength, bool linspace)
      : config_{schedule.config()} {
    std::vector<std::int64_t> grid;
    const auto last = config_.train_timesteps - 1;
    if (linspace) {
      for (std::int64_t i = steps; i >= 1; --i)
        grid.push_back(static_cast<std::int64_t>(std::nearbyint(static_cast<double>(i) * (static_cast<double>(last) / static_cast<double>(steps)))));
    } else {
      const auto ratio = config_.train_timesteps / (steps + 1);
      for (std::int64_t i = steps; i >= 1; --i) grid.push_back(std::min(i * ratio + config_.steps_offset, last));
    }
    for (const auto t : grid) all_sigmas_.push_back(schedule.sigma(t));
    all_sigmas_.push_back(0.0f);
    begin_ = static_cast<std::size_t>(begin_of(steps, strength));
    for (std::size_t i = begin_; i < grid.size(); ++i) timesteps_.push_back(static_cast<double>(grid[i]));
    sigmas_.assign(all_sigmas_.begin() + static_cast<std::ptrdiff_t>(begin_), all_sigmas_.end());
  }
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const override {
    const auto [a, s] = levels(begin_);
    return a * clean + s * noise;
  }
  at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor&) override {
    const std::size_t i = begin_ + k;
    const auto [a, s] = levels(i);
    if (k == 0) previous_ = at::Tensor{};
    const auto now = split(config_, sample, prediction, a, s).clean;
    if (i + 1 == all_sigmas_.size() - 1) {  // sigma 0 next: the clean latent itself
      previous_ = at::Tensor{};
      return now;
    }
    const auto [a_next, s_next] = levels(i + 1);
    const float l = std::log(a) - std::log(s), l_next = std::log(a_next) - std::log(s_next), h = l_next - l;
    const float shrink = std::exp(-h) - 1.0f;
    auto next = (s_next / s) * sample - (a_next * shrink) * now;
    if (previous_.defined()) {
      const auto [a_before, s_before] = levels(i - 1);
      const float h_before = l - (std::log(a_before) - std::log(s_before)), r0 = h_before / h;
      next = next - (0.5f * (a_next * shrink)) * ((1.0f / r0) * (now - previous_));
    }
    previous_ = now;
    return next;
  }

 private:
  std::pair<float, float> levels(std::size_t i) const {
    const float sigma = all_sigmas_[i], a = 1.0f / std::sqrt(sigma * sigma + 1.0f);
    return {a, sigma * a};
  }
  NoiseScheduleConfig config_;
  std::vector<float> all_sigmas_;
  std::size_t begin_ = 0;
  at::Tensor previous_;  // clean latent of the evaluation before
};

class Ddim final : public Scheduler {
 public:
  Ddim(const NoiseSchedule& schedule, std::int64_t steps, double strength)
      : schedule_{schedule}, stride_{schedule.config().train_timesteps / steps} {
    const auto grid = leading_grid(schedule.config(), steps);
    for (std::size_t i = static_cast<std::size_t>(begin_of(steps, strength)); i < grid.size(); ++i) {
      timesteps_.push_back(static_cast<double>(grid[i]));
      sigmas_.push_back(schedule.sigma(grid[i]));
    }
    const float end = alpha_bar(static_cast<std::int64_t>(timesteps_.back()) - stride_);
    sigmas_.push_back(std::sqrt((1.0 - end) / end));
  }
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const override {
    const float abar = alpha_bar(static_cast<std::int64_t>(timesteps_.front()));
    return std::sqrt(abar) * clean + std::sqrt(1.0f - abar) * noise;
  }
  at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor&) override {
    const auto t = static_cast<std::int64_t>(timesteps_[k]);
    const float now = alpha_bar(t), next = alpha_bar(t - stride_);
    const auto parts = split(schedule_.config(), sample, prediction, std::sqrt(now), std::sqrt(1.0f - now));
    return std::sqrt(next) * parts.clean + std::sqrt(1.0f - next) * parts.noise;
  }

 private:
  float alpha_bar(std::int64_t t) const {
    if (t >= 0) return static_cast<float>(schedule_.alpha_bar(t));
    return schedule_.config().set_alpha_to_one ? 1.0f : static_cast<float>(schedule_.alpha_bar(0));
  }
  const NoiseSchedule schedule_;
  std::int64_t stride_;
};

// Euler and Euler-ancestral: variance-exploding form, x = clean + sigma * noise.
class Euler final : public Scheduler {
 public:
  Euler(const NoiseSchedule& schedule, std::int64_t steps, double strength, bool ancestral)
      : config_{schedule.config()}, ancestral_{ancestral} {
    const auto grid = leading_grid(config_, steps);
    for (std::size_t i = static_cast<std::size_t>(begin_of(steps, strength)); i < grid.size(); ++i) {
      timesteps_.push_back(static_cast<double>(grid[i]));
      sigmas_.push_back(schedule.sigma(grid[i]));
    }
    sigmas_.push_back(0);
  }
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const override {
    return clean + noise * static_cast<float>(sigmas_.front());
  }
  at::Tensor model_input(const at::Tensor& sample, std::size_t k) const override {
    const auto sigma = static_cast<float>(sigmas_[k]);
    return sample / std::sqrt(sigma * sigma + 1.0f);
  }
  at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                  const at::Tensor& fresh_noise) override {
    const auto sigma = static_cast<float>(sigmas_[k]), next = static_cast<float>(sigmas_[k + 1]);
    const float scale = sigma * sigma + 1.0f;
    const auto clean = config_.v_prediction ? prediction * (-sigma / std::sqrt(scale)) + sample / scale
                                            : sample - sigma * prediction;
    const auto slope = (sample - clean) / sigma;
    if (!ancestral_) return sample + slope * (next - sigma);
    const float up = std::sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma));
    const float down = std::sqrt(next * next - up * up);
    auto moved = sample + slope * (down - sigma);
    return up > 0 ? moved + fresh_noise * up : moved;
  }
  bool needs_noise() const override { return ancestral_; }

 private:
  NoiseScheduleConfig config_;
  bool ancestral_;
};

// PNDM without Runge-Kutta steps (PLMS), as SD1.5's folder asks for. In img2img the doubled timestep of the
// grid's start is cut off, so that the correction of the first step meets the wrong timestep and some noise
// stays: kept, because published results have it.
class Pndm final : public Scheduler {
 public:
  Pndm(const NoiseSchedule& schedule, std::int64_t steps, double strength)
      : schedule_{schedule}, stride_{schedule.config().train_timesteps / steps} {
    auto grid = leading_grid(schedule.config(), steps);
    if (grid.size() >= 2) grid.insert(grid.begin() + 1, grid[1]);
    for (std::size_t i = static_cast<std::size_t>(begin_of(steps, strength)); i < grid.size(); ++i) {
      timesteps_.push_back(static_cast<double>(grid[i]));
      sigmas_.push_back(schedule.sigma(grid[i]));
    }
    const double end = alpha_bar(static_cast<std::int64_t>(timesteps_.back()) - stride_);
    sigmas_.push_back(std::sqrt((1.0 - end) / end));
  }
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const override {
    const float abar = alpha_bar(static_cast<std::int64_t>(timesteps_.front()));
    return std::sqrt(abar) * clean + std::sqrt(1.0f - abar) * noise;
  }
  at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor&) override {
    if (k == 0) {
      past_.clear();
      first_sample_ = at::Tensor{};
    }
    auto t = static_cast<std::int64_t>(timesteps_[k]);
    auto next = t - stride_;
    at::Tensor noise = prediction, from = sample;
    if (k != 1) {
      past_.push_back(prediction);
      if (past_.size() > 4) past_.erase(past_.begin());
    } else {  // the first step again, with the mean of both predictions
      next = t;
      t += stride_;
    }
    const auto e = [&](std::size_t back) { return past_[past_.size() - back]; };
    if (past_.size() == 1 && k == 0) {
      first_sample_ = sample;
    } else if (past_.size() == 1 && k == 1) {
      noise = (prediction + e(1)) / 2;
      from = first_sample_;
      first_sample_ = at::Tensor{};
    } else if (past_.size() == 2) {
      noise = (3 * e(1) - e(2)) / 2;
    } else if (past_.size() == 3) {
      noise = (23 * e(1) - 16 * e(2) + 5 * e(3)) / 12;
    } else {
      noise = (1.0 / 24) * (55 * e(1) - 59 * e(2) + 37 * e(3) - 9 * e(4));
    }
    return transfer(from, noise, t, next);
  }

 private:
  float alpha_bar(std::int64_t t) const {
    if (t >= 0) return static_cast<float>(schedule_.alpha_bar(std::min(t, schedule_.config().train_timesteps - 1)));
    return schedule_.config().set_alpha_to_one ? 1.0f : static_cast<float>(schedule_.alpha_bar(0));
  }
  at::Tensor transfer(const at::Tensor& x, at::Tensor prediction, std::int64_t t, std::int64_t next) const {
    const float now = alpha_bar(t), then = alpha_bar(next), beta = 1.0f - now, beta_then = 1.0f - then;
    if (schedule_.config().v_prediction) prediction = std::sqrt(now) * prediction + std::sqrt(beta) * x;
    const float denominator = now * std::sqrt(beta_then) + std::sqrt(now * beta * then);
    return std::sqrt(then / now) * x - (then - now) * prediction / denominator;
  }
  const NoiseSchedule schedule_;
  std::int64_t stride_;
  std::vector<at::Tensor> past_;  // predictions, newest last
  at::Tensor first_sample_;
};

// k-diffusion's DPM++ 2M on a Karras grid, as LayerDiffuse's command line runs img2img: int(steps / strength)
// noise levels of which the last steps + 1 are used.
class KarrasCli final : public Scheduler {
 public:
  KarrasCli(const NoiseSchedule& schedule, std::int64_t steps, double strength) : schedule_{schedule} {
    constexpr double rho = 7.0;
    const auto levels = static_cast<std::int64_t>(static_cast<double>(steps) / strength);
    const double most = std::pow(double{schedule.sigmas().back()}, 1 / rho),
                 least = std::pow(double{schedule.sigmas().front()}, 1 / rho);
    for (std::int64_t i = levels - steps; i < levels; ++i) {
      const double share = levels > 1 ? static_cast<double>(i) / static_cast<double>(levels - 1) : 0.0;
      sigmas_.push_back(std::pow(most + share * (least - most), rho));
      std::int64_t nearest = 0;
      double distance = 1e30;
      for (std::size_t t = 0; t < schedule.sigmas().size(); ++t) {
        const double d = std::abs(std::log(sigmas_.back()) - std::log(double{schedule.sigmas()[t]}));
        if (d < distance) {
          distance = d;
          nearest = static_cast<std::int64_t>(t);
        }
      }
      timesteps_.push_back(static_cast<double>(nearest));
    }
    sigmas_.push_back(0);
  }
  at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const override {
    return clean + noise * static_cast<float>(sigmas_.front());
  }
  at::Tensor model_input(const at::Tensor& sample, std::size_t k) const override {
    return sample / static_cast<float>(std::sqrt(sigmas_[k] * sigmas_[k] + 1.0));
  }
  at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample, const at::Tensor&) override {
    const double sigma = sigmas_[k], next = sigmas_[k + 1];
    if (k == 0) previous_ = at::Tensor{};
    const double scale = sigma * sigma + 1.0;
    const auto clean = schedule_.config().v_prediction
                           ? prediction * static_cast<float>(-sigma / std::sqrt(scale)) + sample / static_cast<float>(scale)
                           : sample - prediction * static_cast<float>(sigma);
    const auto before = previous_;
    previous_ = clean;
    if (next == 0) return clean;
    const double h = std::log(sigma / next);
    auto direction = clean;
    if (before.defined()) {
      const double r = std::log(sigmas_[k - 1] / sigma) / h;
      direction = static_cast<float>(1 + 1 / (2 * r)) * clean - static_cast<float>(1 / (2 * r)) * before;
    }
    return static_cast<float>(next / sigma) * sample - static_cast<float>(std::expm1(-h)) * direction;
  }

 private:
  const NoiseSchedule schedule_;
  at::Tensor previous_;
};

}  // namespace

std::int64_t img2img_steps(std::int64_t steps, double strength) {
  return std::min(static_cast<std::int64_t>(static_cast<double>(steps) * strength), steps);
}

std::unique_ptr<Scheduler> make_scheduler(SchedulerKind kind, const NoiseSchedule& schedule, std::int64_t steps,
                                          double strength) {
  const auto most = schedule.config().train_timesteps;
  if (steps < 1 || steps >= most)
    throw ConfigError(fmt::format("{} steps are out of range", steps), "generate.steps",
                      fmt::format("Choose 1 to {}.", most - 1));
  if (!(strength > 0) || strength > 1 || (kind != SchedulerKind::karras25_cli && img2img_steps(steps, strength) < 1))
    throw ConfigError(fmt::format("strength {} of {} steps leaves no evaluation", strength, steps),
                      "diffusion.strength", fmt::format("Choose at least {:.3f}, at most 1.", 1.0 / static_cast<double>(steps)));
  switch (kind) {
    case SchedulerKind::dpmpp2m_linspace: return std::make_unique<DpmSolver>(schedule, steps, strength, true);
    case SchedulerKind::dpmpp2m_leading: return std::make_unique<DpmSolver>(schedule, steps, strength, false);
    case SchedulerKind::ddim_leading: return std::make_unique<Ddim>(schedule, steps, strength);
    case SchedulerKind::euler_leading: return std::make_unique<Euler>(schedule, steps, strength, false);
    case SchedulerKind::euler_ancestral_leading: return std::make_unique<Euler>(schedule, steps, strength, true);
    case SchedulerKind::pndm_faithful: return std::make_unique<Pndm>(schedule, steps, strength);
    case SchedulerKind::karras25_cli: return std::make_unique<KarrasCli>(schedule, steps, strength);
  }
  throw ModelError("unknown scheduler");
}

}  // namespace deda::diffusion
