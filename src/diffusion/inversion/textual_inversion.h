// One step of textual inversion for one or several classes: the loss of predicting the noise of noised
// latents (paper, Eq. 3), and its gradient with respect to the classes' embedding rows alone. The frozen
// networks get no gradients; distinct prompts are encoded once; micro-batches bound the memory. Source:
// diffusers examples/textual_inversion/textual_inversion.py and textual_inversion_sdxl.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "diffusion/model.h"
#include "diffusion/sampling/noise_schedule.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {

// The rows of one class: per text encoder [n, D] float32, on the CPU or the model's device.
using IdentifierRows = std::vector<at::Tensor>;

// Samples class after class, the same number of each. Ids from the vocabulary upward mean the rows of the
// first class, then of the second, ...
struct InversionBatch {
  at::Tensor latents, noise;           // [N, C, h, w] float32, CPU
  at::Tensor timesteps;                // [N] int64
  std::vector<at::Tensor> prompt_ids;  // per text encoder [P, tokens] int64: the distinct prompts
  std::vector<std::int64_t> prompts;   // [N] which prompt a sample has
};

// All of it on the model's device, so that the next step can be started before this one is through.
struct InversionGradients {
  at::Tensor errors;                      // [classes, samples per class] mean squared error of each sample
  std::vector<IdentifierRows> gradients;  // per class, of its own loss
  std::vector<double> losses() const;     // per class, the mean over its samples; waits for the device
};
// Mean of one class's errors, [samples] float32 on the CPU, added up in double precision and in order.
double loss_of(const at::Tensor& errors);

// Safe from many threads.
class TextualInversion {
 public:
  // `micro_batch` samples per forward pass, 0: all. `resolution`: pixels a side, told to SDXL's UNet.
  TextualInversion(const DiffusionModel& model, std::int64_t resolution, std::int64_t micro_batch);

  // The sum of the classes' losses, each times its `loss_scales` (half precision; the gradients are divided
  // by it again). A class whose numbers are not finite does not touch the others'. `trace` gains
  // noisy_latents, encoder_hidden_states, noise_pred (all per sample), and for SDXL
  // text_embeds, time_ids.
  InversionGradients gradients(const InversionBatch& batch, const std::vector<IdentifierRows>& rows,
                               const std::vector<double>& loss_scales,
                               models::NamedTensors* trace = nullptr) const;
  // Mean squared error of every sample, [N]; without rows the prompts have none. `chunk` samples at a time.
  std::vector<double> losses(const InversionBatch& batch, const IdentifierRows& rows,
                             std::int64_t chunk) const;

  void set_micro_batch(std::int64_t samples) { micro_batch_ = samples; }

 private:
  struct Part;  // samples [first, last) on the device
  Part part_of(const InversionBatch& batch, const TextCondition& text, std::int64_t first,
               std::int64_t last) const;
  at::Tensor predict(const Part& part) const;

  const DiffusionModel& model_;
  NoiseSchedule schedule_;
  std::int64_t resolution_, micro_batch_;
};

}  // namespace deda::diffusion
