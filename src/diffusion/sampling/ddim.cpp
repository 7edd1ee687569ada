// DDIM with eta 0 (Song, Meng, Ermon 2020, Eq. 12) as DDIMScheduler of diffusers, without clipping. With
// set_alpha_to_one false, as in the files of Stable Diffusion, it ends at the noise level of timestep 0
// (sigma 0.029), not on the clean latent.
#include <ATen/ATen.h>

#include <cmath>

#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

class Ddim final : public Scheduler {
 public:
  Ddim(const TimeGrid& grid, std::vector<double> sigmas, std::vector<float> alphas_cumprod,
       PredictionType type)
      : Scheduler(grid.evaluated(), std::move(sigmas)), abar_{std::move(alphas_cumprod)}, type_{type} {}

 private:
  at::Tensor noised(const at::Tensor& clean, const at::Tensor& noise) const override {
    return std::sqrt(abar_[0]) * clean + std::sqrt(1.0f - abar_[0]) * noise;
  }

  at::Tensor advanced(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                      const at::Tensor&) override {
    const float alpha = std::sqrt(abar_[k]), noise_share = std::sqrt(1.0f - abar_[k]);
    const bool is_noise = type_ == PredictionType::epsilon;
    const auto clean =
        is_noise ? (sample - noise_share * prediction) / alpha : alpha * sample - noise_share * prediction;
    const auto noise = is_noise ? prediction : alpha * prediction + noise_share * sample;
    return std::sqrt(abar_[k + 1]) * clean + std::sqrt(1.0f - abar_[k + 1]) * noise;
  }

  std::vector<float> abar_;  // at the evaluated timesteps and of the final sample
  PredictionType type_;
};

}  // namespace

std::unique_ptr<Scheduler> make_ddim(const NoiseSchedule& schedule, const TimeGrid& grid,
                                     std::int64_t stride) {
  const bool to_one = schedule.config().set_alpha_to_one.value_or(true);
  std::vector<float> abar;
  for (const double t : grid.evaluated())
    abar.push_back(schedule.alpha_cumprod(static_cast<std::int64_t>(t)));
  abar.push_back(alpha_cumprod_or_final(schedule, grid.timesteps.back() - stride, to_one));
  std::vector<double> sigmas;
  for (const float each : abar) sigmas.push_back(sigma_of(each));
  return std::make_unique<Ddim>(grid, std::move(sigmas), std::move(abar), schedule.config().prediction_type);
}

}  // namespace deda::diffusion
