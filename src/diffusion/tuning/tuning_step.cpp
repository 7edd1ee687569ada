#include "diffusion/tuning/tuning_step.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "device/kernels.h"
#include "device/upload.h"
#include "diffusion/inversion/training_noise.h"

namespace deda::diffusion {
namespace {

void append_rows(models::NamedTensors& tensors, const std::string& name, const at::Tensor& rows) {
  auto& all = tensors[name];
  const auto more = rows.detach().to(at::kCPU, at::kFloat);
  all = all.defined() ? at::cat({all, more}) : more;
}

}  // namespace

TuningGradients tuning_gradients(const DiffusionModel& model, const NoiseSchedule& schedule,
                                 const models::LoraLayers& lora, const std::vector<at::Tensor>& rows,
                                 const TuningBatch& batch, std::int64_t pictures_in_step, double loss_scale,
                                 std::int64_t resolution, models::NamedTensors* trace) {
  const device::ReproducibleAttention reproducible;
  std::vector<at::Tensor> leaves;  // views of the rows, so that threads share no graph
  for (const auto& of_encoder : rows) leaves.push_back(of_encoder.detach().requires_grad_(true));
  const auto clean = device::upload(batch.latents, model.device),
             noise = device::upload(batch.noise, model.device),
             timesteps = device::upload(batch.timesteps, model.device);
  const auto noisy = noised(schedule, clean, noise, timesteps);
  const auto target = prediction_target(schedule, clean, noise, timesteps);

  const auto text = model.encode_text(batch.prompt_ids, leaves);
  const auto prompts = device::upload(at::tensor(batch.prompts), model.device);
  const auto states = text.states.index_select(0, prompts);
  models::UNet::Added added;
  if (model.is_sdxl()) added = model.added_conditions(text.pooled.index_select(0, prompts), resolution);
  const auto predicted =
      model.unet->forward(noisy.to(model.unet_dtype), timesteps, states.to(model.unet_dtype), added)
          .to(at::kFloat);
  const auto errors = (predicted - target).square().mean({1, 2, 3});
  const auto loss = errors.sum() * (loss_scale / static_cast<double>(pictures_in_step));

  auto inputs = lora.parameters();
  const auto matrices = inputs.size();
  inputs.insert(inputs.end(), leaves.begin(), leaves.end());
  const auto gradients = torch::autograd::grad({loss}, inputs);
  TuningGradients out;
  out.errors = errors.detach();
  std::vector<at::Tensor> flat;
  for (std::size_t i = 0; i < matrices; ++i) flat.push_back(gradients[i].flatten());
  out.lora = at::cat(flat);
  out.rows.assign(gradients.begin() + static_cast<std::ptrdiff_t>(matrices), gradients.end());
  if (trace != nullptr) {
    append_rows(*trace, "noisy_latents", noisy);
    append_rows(*trace, "encoder_hidden_states", states);
    append_rows(*trace, "noise_pred", predicted);
  }
  return out;
}

at::Tensor clip_to_norm(at::Tensor& gradient, double most) {
  const auto norm = gradient.norm();
  if (most > 0) {
    constexpr double above_zero = 1e-6;  // clip_grad_norm_'s
    gradient.mul_((most / (norm + above_zero)).clamp_max(1.0));
  }
  return norm;
}

}  // namespace deda::diffusion
