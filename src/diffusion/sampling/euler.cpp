// Euler and Euler-ancestral (Karras et al. 2022; k-diffusion) as EulerDiscreteScheduler and
// EulerAncestralDiscreteScheduler of diffusers. The sample is in variance-exploding form: mixing it with
// DDIM's or DPM-Solver's is wrong by a factor of sqrt(sigma^2 + 1).
#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

class Euler final : public Scheduler {
 public:
  Euler(std::vector<double> timesteps, std::vector<double> sigmas, PredictionType type, EulerNoise noise)
      : Scheduler(std::move(timesteps), std::move(sigmas)), type_{type}, noise_{noise} {}

  bool needs_noise() const override { return noise_ == EulerNoise::ancestral; }

 private:
  float sigma(std::size_t k) const { return static_cast<float>(sigmas()[k]); }

  at::Tensor noised(const at::Tensor& clean, const at::Tensor& noise) const override {
    return clean + noise * sigma(0);
  }
  at::Tensor scaled(const at::Tensor& sample, std::size_t k) const override {
    return exploding_model_input(sample, sigma(k));
  }

  at::Tensor advanced(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                      const at::Tensor& fresh_noise) override {
    const float now = sigma(k), next = sigma(k + 1);
    const auto clean = exploding_clean(type_, prediction, sample, now);
    const auto derivative = (sample - clean) / now;
    if (noise_ == EulerNoise::none) return sample + derivative * (next - now);
    const float now2 = now * now, next2 = next * next;
    const float up = std::sqrt(next2 * (now2 - next2) / now2);
    const float down = std::sqrt(next2 - up * up);
    return sample + derivative * (down - now) + fresh_noise * up;
  }

  PredictionType type_;
  EulerNoise noise_;
};

// Linear between the noise levels of whole timesteps, in double as numpy.interp, then rounded to float32.
float sigma_between(const NoiseSchedule& schedule, double t) {
  const auto below = static_cast<std::int64_t>(t);
  const double share = t - static_cast<double>(below), sigma = schedule.sigma(below);
  if (share == 0) return static_cast<float>(sigma);
  return static_cast<float>((schedule.sigma(below + 1) - sigma) * share + sigma);
}

}  // namespace

std::unique_ptr<Scheduler> make_euler(const NoiseSchedule& schedule, const std::vector<double>& timesteps,
                                      EulerNoise noise) {
  std::vector<double> sigmas;
  for (const double t : timesteps) sigmas.push_back(sigma_between(schedule, t));
  sigmas.push_back(0.0);
  return std::make_unique<Euler>(timesteps, std::move(sigmas), schedule.config().prediction_type, noise);
}

}  // namespace deda::diffusion
