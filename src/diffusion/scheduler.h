// The samplers: from a noised latent to a clean one in a few evaluations of the network, with the time grids,
// the strength rule and the arithmetic (float32) of diffusers. Sources: diffusers schedulers/scheduling_*.py,
// pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py; karras25_cli: LayerDiffuse_DiffusersCLI,
// diffusers_kdiffusion_sdxl.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/noise_schedule.h"

namespace deda::diffusion {

enum class SchedulerKind : std::uint8_t {
  dpmpp2m_linspace,         // DPM-Solver++ 2M; s = 0.4 of 25 steps starts exactly at t = 400 (default)
  dpmpp2m_leading,          // the same as diffusers makes it from SDXL's scheduler file
  ddim_leading,             // deterministic DDIM
  euler_leading,
  euler_ancestral_leading,  // needs fresh noise at every step
  pndm_faithful,            // SD1.5's own; its flaw in img2img included
  karras25_cli,             // LayerDiffuse's command line: always `steps` evaluations, far weaker edits
};

// Evaluations of the network that diffusers makes of `steps` at this strength: min(int(steps * strength),
// steps), in double precision.
std::int64_t img2img_steps(std::int64_t steps, double strength);

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // Timesteps to evaluate, in order (integers, kept as double), and the noise level sigma of each, with the
  // last one's successor at the end.
  const std::vector<double>& timesteps() const { return timesteps_; }
  const std::vector<double>& sigmas() const { return sigmas_; }
  // The noised start. float32 [B, C, h, w].
  virtual at::Tensor add_noise(const at::Tensor& clean, const at::Tensor& noise) const = 0;
  // What the network is given of a sample before evaluation k.
  virtual at::Tensor model_input(const at::Tensor& sample, std::size_t k) const { return sample; }
  // After evaluation k, in order from 0; step 0 forgets an earlier trajectory. `prediction` as the network's
  // type of prediction has it. `fresh_noise`: standard normal, only where needs_noise().
  virtual at::Tensor step(std::size_t k, const at::Tensor& prediction, const at::Tensor& sample,
                          const at::Tensor& fresh_noise) = 0;
  virtual bool needs_noise() const { return false; }

 protected:
  std::vector<double> timesteps_, sigmas_;
};

// ConfigError when the strength leaves no evaluation.
std::unique_ptr<Scheduler> make_scheduler(SchedulerKind kind, const NoiseSchedule& schedule, std::int64_t steps,
                                          double strength);

}  // namespace deda::diffusion
