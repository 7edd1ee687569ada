// DPM++ 2M of k-diffusion on a Karras grid (Karras et al. 2022, Eq. 5), as the img2img program that
// LayerDiffuse's author published runs it. Its strength differs from diffusers': the grid gets int(steps /
// strength) levels and the last `steps` are used, so 0.4 of 25 starts at sigma 0.66 (timestep 238), a much
// weaker edit than timestep 400. The noise levels come from betas in float64; the sample is in
// variance-exploding form.
#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

constexpr double rho = 7.0;

class KarrasCli final : public Scheduler {
 public:
  KarrasCli(std::vector<double> timesteps, std::vector<double> sigmas, PredictionType type)
      : Scheduler(std::move(timesteps), std::move(sigmas)), type_{type} {}

 private:
  float sigma(std::size_t k) const { return static_cast<float>(sigmas()[k]); }
  float log_snr(std::size_t k) const { return -std::log(sigma(k)); }

  at::Tensor noised(const at::Tensor& clean, const at::Tensor& noise) const override {
    return clean + noise * sigma(0);
  }
  at::Tensor scaled(const at::Tensor& sample, std::size_t k) const override {
    return exploding_model_input(sample, sigma(k));
  }

  at::Tensor advanced(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                      const at::Tensor&) override {
    const auto clean = exploding_clean(type_, prediction, sample, sigma(k));
    const auto previous = std::exchange(previous_clean_, clean);
    if (sigma(k + 1) == 0.0f) return clean;
    const float h = log_snr(k + 1) - log_snr(k);
    auto target = clean;
    if (k > 0) {
      const float ratio = (log_snr(k) - log_snr(k - 1)) / h;
      const float weight = 1.0f / (2.0f * ratio);
      target = (1.0f + weight) * clean - weight * previous;
    }
    return sigma(k + 1) / sigma(k) * sample - std::expm1(-h) * target;
  }

  void forget() override { previous_clean_.reset(); }

  PredictionType type_;
  at::Tensor previous_clean_;
};

}  // namespace

std::unique_ptr<Scheduler> make_karras_cli(const NoiseScheduleConfig& config, std::int64_t steps,
                                           double strength) {
  const auto abar = at::cumprod(1.0 - betas_of(config, at::kDouble), 0).to(at::kFloat);
  const auto trained = ((1.0 - abar) / abar).pow(0.5);
  const auto levels = static_cast<std::int64_t>(static_cast<double>(steps) / strength);
  const auto low = trained[0].pow(1.0 / rho), high = trained[-1].pow(1.0 / rho);
  const auto grid = (high + at::linspace(0.0, 1.0, levels, at::kFloat) * (low - high)).pow(rho);
  const auto used = grid.slice(0, levels - steps).contiguous();
  const auto distances = (used.log().unsqueeze(1) - trained.log().unsqueeze(0)).abs();
  const auto nearest = distances.argmin(1).contiguous();
  std::vector<double> timesteps, sigmas;
  for (std::int64_t i = 0; i < steps; ++i) {
    timesteps.push_back(static_cast<double>(nearest.data_ptr<std::int64_t>()[i]));
    sigmas.push_back(used.data_ptr<float>()[i]);
  }
  sigmas.push_back(0.0);
  return std::make_unique<KarrasCli>(std::move(timesteps), std::move(sigmas), config.prediction_type);
}

}  // namespace deda::diffusion
