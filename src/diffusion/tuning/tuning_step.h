// One forward and backward pass of tuning: the loss of predicting the noise of whole pictures' latents, and
// its gradient with respect to a LoRA beside the UNet's attention and to the classes' words. The networks
// themselves get no gradients. Source: Diff-Mix's train_lora.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "diffusion/model.h"
#include "diffusion/sampling/noise_schedule.h"
#include "models/diffusion/lora_layers.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {

// Pictures that pass together: a part of a step's global batch.
struct TuningBatch {
  at::Tensor latents, noise;           // [N, C, h, w] float32, CPU; latents sampled and scaled
  at::Tensor timesteps;                // [N] int64
  std::vector<at::Tensor> prompt_ids;  // per text encoder [P, tokens] int64: the distinct captions
  std::vector<std::int64_t> prompts;   // [N] which caption a picture has
};

// On the model's device, float32.
struct TuningGradients {
  at::Tensor errors;             // [N] mean squared error of each picture
  at::Tensor lora;               // [P] in the order of LoraLayers::values()
  std::vector<at::Tensor> rows;  // per text encoder [classes, D]
};

// Gradients of loss_scale * (sum of the pictures' errors) / pictures_in_step, so that those of a step's parts
// add up to the gradient of its mean squared error times the scale. `rows`: the words of all classes, per
// text encoder [classes, D]; ids from the vocabulary upward mean them. `resolution`: pixels a side, told to
// SDXL's UNet. `trace` gains noisy_latents, encoder_hidden_states and noise_pred, a row a picture, behind
// those that are there. Safe from many threads.
TuningGradients tuning_gradients(const DiffusionModel& model, const NoiseSchedule& schedule,
                                 const models::LoraLayers& lora, const std::vector<at::Tensor>& rows,
                                 const TuningBatch& batch, std::int64_t pictures_in_step, double loss_scale,
                                 std::int64_t resolution, models::NamedTensors* trace = nullptr);

// Scales `gradient` down to `most` where its norm is larger, as torch's clip_grad_norm_ does; returns the
// norm before, [] on the device, without waiting for it. `most` 0: leaves it as it is.
at::Tensor clip_to_norm(at::Tensor& gradient, double most);

}  // namespace deda::diffusion
