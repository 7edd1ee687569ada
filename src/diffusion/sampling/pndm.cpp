// PLMS (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", Eq. 9 and 12) as
// PNDMScheduler of diffusers with skip_prk_steps: the scheduler in the files of Stable Diffusion 1.5.
//
// Its flaw is kept. The second call redoes the first step with a better prediction and counts on the grid's
// repeated second timestep for that. img2img cuts the start of the grid off and the repeated timestep with
// it: the second call then predicts at a level that the sample has reached already, every later one at a
// level below the sample's, and the result keeps the noise of one transition. Published peers were run like
// that.
#include <ATen/ATen.h>

#include <cmath>
#include <deque>
#include <utility>

#include "diffusion/sampling/scheduler_classes.h"

namespace deda::diffusion {

namespace {

constexpr std::size_t history_length = 4;

class Pndm final : public Scheduler {
 public:
  Pndm(const NoiseSchedule& schedule, const TimeGrid& grid, std::int64_t stride, std::vector<double> sigmas)
      : Scheduler(grid.evaluated(), std::move(sigmas)), schedule_{schedule}, stride_{stride} {}

 private:
  std::int64_t timestep(std::size_t k) const { return static_cast<std::int64_t>(timesteps()[k]); }

  at::Tensor noised(const at::Tensor& clean, const at::Tensor& noise) const override {
    return schedule_.alpha(timestep(0)) * clean + schedule_.noise_share(timestep(0)) * noise;
  }

  at::Tensor advanced(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                      const at::Tensor&) override {
    const std::int64_t t = timestep(k);
    if (k == 1) {
      const auto start = std::exchange(first_sample_, at::Tensor());
      return transferred(start, t + stride_, t, (prediction + history_[0]) / 2);
    }
    if (k == 0) first_sample_ = sample;
    history_.push_front(prediction);
    if (history_.size() > history_length) history_.pop_back();
    return transferred(sample, t, t - stride_, extrapolated());
  }

  // Adams-Bashforth over the newest predictions.
  at::Tensor extrapolated() const {
    const auto& e = history_;
    switch (e.size()) {
      case 1:
        return e[0];
      case 2:
        return (3 * e[0] - e[1]) / 2;
      case 3:
        return (23 * e[0] - 16 * e[1] + 5 * e[2]) / 12;
      default:
        return (1.0 / 24) * (55 * e[0] - 59 * e[1] + 37 * e[2] - 9 * e[3]);
    }
  }

  // Eq. 9: from the level of one timestep to that of another along a constant prediction.
  at::Tensor transferred(const at::Tensor& sample, std::int64_t from, std::int64_t to,
                         const at::Tensor& prediction) const {
    const bool to_one = schedule_.config().set_alpha_to_one.value_or(false);
    const float now = alpha_cumprod_or_final(schedule_, from, to_one);
    const float next = alpha_cumprod_or_final(schedule_, to, to_one);
    const auto noise = schedule_.config().prediction_type == PredictionType::epsilon
                           ? prediction
                           : std::sqrt(now) * prediction + std::sqrt(1.0f - now) * sample;
    const float divisor = now * std::sqrt(1.0f - next) + std::sqrt(now * (1.0f - now) * next);
    return std::sqrt(next / now) * sample - (next - now) * noise / divisor;
  }

  void forget() override {
    history_.clear();
    first_sample_.reset();
  }

  NoiseSchedule schedule_;
  std::int64_t stride_;
  std::deque<at::Tensor> history_;  // newest first
  at::Tensor first_sample_;
};

}  // namespace

std::unique_ptr<Scheduler> make_pndm(const NoiseSchedule& schedule, const TimeGrid& grid,
                                     std::int64_t stride) {
  const bool to_one = schedule.config().set_alpha_to_one.value_or(false);
  std::vector<double> sigmas;
  for (const double t : grid.evaluated()) sigmas.push_back(schedule.sigma(static_cast<std::int64_t>(t)));
  sigmas.push_back(sigma_of(alpha_cumprod_or_final(schedule, grid.timesteps.back() - stride, to_one)));
  return std::make_unique<Pndm>(schedule, grid, stride, std::move(sigmas));
}

}  // namespace deda::diffusion
