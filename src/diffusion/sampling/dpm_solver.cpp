// DPM-Solver++ 2M (Lu et al. 2022, "DPM-Solver++", algorithm 2) as DPMSolverMultistepScheduler of diffusers
// with order 2, midpoint, final sigma 0. The sample is in variance-preserving form. In img2img the first step
// has no history and is of first order; so is the last, which returns the clean prediction.
#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

struct Level {
  float alpha = 1, noise_share = 0, lambda = 0;
};

Level level_of(float sigma) {
  const float alpha = 1.0f / std::sqrt(sigma * sigma + 1.0f);
  const float noise_share = sigma * alpha;
  return {alpha, noise_share, std::log(alpha) - std::log(noise_share)};
}

// x' = of_sample x - of_clean m0 - 0.5 of_clean (m0 - m1) * of_difference
struct Factors {
  float of_sample = 0, of_clean = 0, of_difference = 0;
  bool uses_history = false;
};

class DpmSolver final : public Scheduler {
 public:
  DpmSolver(const TimeGrid& grid, std::vector<double> sigmas, PredictionType type)
      : Scheduler(grid.evaluated(), std::move(sigmas)), type_{type} {
    const std::vector<double>& all = this->sigmas();
    for (std::size_t k = 0; k < all.size(); ++k) levels_.push_back(level_of(static_cast<float>(all[k])));
    for (std::size_t k = 0; k + 1 < all.size(); ++k) factors_.push_back(factors_of(k));
  }

 private:
  Factors factors_of(std::size_t k) const {
    if (k + 2 == levels_.size()) return {0.0f, -1.0f, 0.0f, false};  // sigma 0: infinite lambda, exp(-h) = 0
    const Level &now = levels_[k], &next = levels_[k + 1];
    const float h = next.lambda - now.lambda;
    Factors factors{next.noise_share / now.noise_share, next.alpha * (std::exp(-h) - 1.0f), 0.0f, k > 0};
    if (k > 0) factors.of_difference = 1.0f / ((now.lambda - levels_[k - 1].lambda) / h);
    return factors;
  }

  at::Tensor noised(const at::Tensor& clean, const at::Tensor& noise) const override {
    return levels_[0].alpha * clean + levels_[0].noise_share * noise;
  }

  at::Tensor advanced(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                      const at::Tensor&) override {
    const Level& now = levels_[k];
    const auto clean = type_ == PredictionType::epsilon ? (sample - now.noise_share * prediction) / now.alpha
                                                        : now.alpha * sample - now.noise_share * prediction;
    const Factors& factors = factors_[k];
    auto next = factors.of_sample * sample - factors.of_clean * clean;
    if (factors.uses_history)
      next = next - 0.5f * factors.of_clean * (factors.of_difference * (clean - previous_clean_));
    previous_clean_ = clean;
    return next;
  }

  void forget() override { previous_clean_.reset(); }

  PredictionType type_;
  std::vector<Level> levels_;
  std::vector<Factors> factors_;
  at::Tensor previous_clean_;
};

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver(const NoiseSchedule& schedule, const TimeGrid& grid) {
  std::vector<double> sigmas;
  for (const double t : grid.evaluated()) sigmas.push_back(schedule.sigma(static_cast<std::int64_t>(t)));
  sigmas.push_back(0.0);
  return std::make_unique<DpmSolver>(grid, std::move(sigmas), schedule.config().prediction_type);
}

}  // namespace deda::diffusion
