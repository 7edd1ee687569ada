// Samplers: from a noised latent back to a clean one, one noise prediction at a time. Used for SDEdit (paper,
// Eq. 2): `strength` picks where in the grid of `steps` timesteps the edit starts, by the rule of the img2img
// pipelines of diffusers 0.42, whose schedulers these are (same float32 operations,
// tests/golden/schedulers.py).
//
//   auto scheduler = make_scheduler(SchedulerKind::dpmpp2m_linspace, config, 25, 0.4);
//   auto sample = scheduler->add_noise(latent, noise);
//   for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
//     const auto prediction = unet(scheduler->model_input(sample, k), scheduler->timesteps()[k]);
//     sample = scheduler->step(k, prediction, sample);
//   }
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "diffusion/sampling/noise_schedule.h"

namespace deda::diffusion {

enum class SchedulerKind {
  dpmpp2m_linspace,  // DPM-Solver++ 2M; the grid that diffusers builds from Stable Diffusion 1.5's file
  dpmpp2m_leading,   // the same solver; the grid from SDXL's file
  ddim_leading,      // DDIM, eta 0
  euler_leading,     // SDXL's own
  euler_ancestral_leading,   // fresh noise in every step
  euler_ancestral_linspace,  // the grid from a file without a spacing (InstructPix2Pix): fractional timesteps
  pndm_faithful,             // PLMS, Stable Diffusion 1.5's own, with the flaw of its img2img use
  karras25_cli,  // DPM++ 2M on a Karras grid, as LayerDiffuse's img2img program: always `steps` steps
};
inline constexpr std::array<SchedulerKind, 8> scheduler_kinds = {SchedulerKind::dpmpp2m_linspace,
                                                                 SchedulerKind::dpmpp2m_leading,
                                                                 SchedulerKind::ddim_leading,
                                                                 SchedulerKind::euler_leading,
                                                                 SchedulerKind::euler_ancestral_leading,
                                                                 SchedulerKind::euler_ancestral_linspace,
                                                                 SchedulerKind::pndm_faithful,
                                                                 SchedulerKind::karras25_cli};
std::string_view name_of(SchedulerKind kind);

// The strength rule: int(steps * strength) in double arithmetic, at most `steps`. (A strength that was once a
// float loses a step: 50 * 0.7f is 34.99.) PNDM evaluates once more than this, karras25_cli always `steps`
// times: what counts is the length of timesteps().
std::int64_t evaluations(std::int64_t steps, double strength);
// Entries of the full grid that are skipped.
std::int64_t first_index(std::int64_t steps, double strength);

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // What to give to the network, in order; whole numbers but for euler_ancestral_linspace, whose fractions
  // are float32.
  const std::vector<double>& timesteps() const { return timesteps_; }
  // Noise levels (k-diffusion's sigma) at those timesteps and, last, of what the final step returns.
  const std::vector<double>& sigmas() const { return sigmas_; }
  // True when step() wants fresh standard normal noise in the sample's shape.
  virtual bool needs_noise() const { return false; }

  // The start: the clean latent noised to the level of timesteps()[0]. All tensors: float32 inside, the
  // result has the type of the first argument (step: of `sample`).
  torch::Tensor add_noise(const torch::Tensor& clean, const torch::Tensor& noise) const;
  // What the network sees in evaluation k.
  torch::Tensor model_input(const torch::Tensor& sample, std::size_t k) const;
  // The sample after evaluation k, for k = 0, 1, ...; step(0) forgets the trajectory before, so that one
  // object serves many, one after the other. `prediction` is what the config's prediction_type says.
  torch::Tensor step(std::size_t k, const torch::Tensor& prediction, const torch::Tensor& sample,
                     const torch::Tensor& fresh_noise = {});

 protected:
  Scheduler(std::vector<double> timesteps, std::vector<double> sigmas);

 private:
  // All in float32, without gradients.
  virtual torch::Tensor noised(const torch::Tensor& clean, const torch::Tensor& noise) const = 0;
  virtual torch::Tensor scaled(const torch::Tensor& sample, std::size_t k) const;  // default: as it is
  virtual torch::Tensor advanced(std::size_t k, const torch::Tensor& prediction, const torch::Tensor& sample,
                                 const torch::Tensor& fresh_noise) = 0;
  virtual void forget() {}

  std::vector<double> timesteps_, sigmas_;
  std::size_t next_step_ = 0;
};

// ConfigError with all problems, before anything is computed: strength not in (0, 1], int(steps * strength) =
// 0, more steps than the grid has room for.
std::unique_ptr<Scheduler> make_scheduler(SchedulerKind kind, const NoiseScheduleConfig& config,
                                          std::int64_t steps, double strength);

// Text to image: pure standard normal noise is multiplied by this and the scheduler made with strength 1.
double init_noise_sigma(SchedulerKind kind, const NoiseScheduleConfig& config, std::int64_t steps);

}  // namespace deda::diffusion
