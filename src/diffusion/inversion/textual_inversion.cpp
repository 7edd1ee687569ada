#include "diffusion/inversion/textual_inversion.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include <algorithm>

#include "device/kernels.h"
#include "device/upload.h"
#include "diffusion/inversion/training_noise.h"

namespace deda::diffusion {
namespace {

at::Tensor detached_on_host(const at::Tensor& x) {
  return x.detach().to(at::kCPU, at::kFloat);
}

// Rows of all classes behind each other, per text encoder, as the ids count them.
std::vector<at::Tensor> stacked_rows(const std::vector<IdentifierRows>& rows, at::Device device) {
  std::vector<at::Tensor> stacked;
  for (std::size_t encoder = 0; encoder < rows.front().size(); ++encoder) {
    std::vector<at::Tensor> parts;
    for (const auto& of_class : rows) parts.push_back(of_class[encoder]);
    stacked.push_back(device::upload(at::cat(parts).detach(), device));
  }
  return stacked;
}

// Adds each sample's gradient to that of its prompt, in the samples' order: an index_add on a GPU adds in
// any.
void add_to_prompts(at::Tensor& of_prompts, const at::Tensor& of_samples,
                    const std::vector<std::int64_t>& prompts, std::int64_t first) {
  for (std::int64_t i = 0; i < of_samples.size(0); ++i)
    of_prompts[prompts[static_cast<std::size_t>(first + i)]].add_(of_samples[i]);
}

void append(models::NamedTensors& tensors, const std::string& name, const at::Tensor& rows) {
  auto& all = tensors[name];
  all = all.defined() ? at::cat({all, detached_on_host(rows)}) : detached_on_host(rows);
}

}  // namespace

double loss_of(const at::Tensor& errors) {
  const auto plain = errors.to(at::kDouble).contiguous();
  const auto count = static_cast<double>(plain.numel());
  double loss = 0;
  for (std::int64_t i = 0; i < plain.numel(); ++i) loss += plain.const_data_ptr<double>()[i] / count;
  return loss;
}

std::vector<double> InversionGradients::losses() const {
  std::vector<double> all;
  for (const auto& of_class : errors.to(at::kCPU).unbind()) all.push_back(loss_of(of_class));
  return all;
}

struct TextualInversion::Part {
  at::Tensor noisy, target, timesteps;
  at::Tensor states, pooled;  // leaves of the graph
  models::UNet::Added added;
};

TextualInversion::TextualInversion(const DiffusionModel& model, std::int64_t resolution,
                                   std::int64_t micro_batch)
    : model_{model}, schedule_{model.schedule}, resolution_{resolution}, micro_batch_{micro_batch} {}

TextualInversion::Part TextualInversion::part_of(const InversionBatch& batch, const TextCondition& text,
                                                 std::int64_t first, std::int64_t last) const {
  const auto slice = [&](const at::Tensor& x) {
    return device::upload(x.slice(0, first, last), model_.device);
  };
  const auto clean = slice(batch.latents), noise = slice(batch.noise);
  Part part;
  part.timesteps = slice(batch.timesteps);
  part.noisy = noised(schedule_, clean, noise, part.timesteps);
  part.target = prediction_target(schedule_, clean, noise, part.timesteps);
  const auto prompts =
      device::upload(at::tensor(at::ArrayRef<std::int64_t>(batch.prompts.data() + first,
                                                           static_cast<std::size_t>(last - first))),
                     model_.device);
  const bool learning = at::GradMode::is_enabled();
  part.states = text.states.detach().index_select(0, prompts).requires_grad_(learning);
  if (text.pooled.defined() && model_.is_sdxl()) {
    part.pooled = text.pooled.detach().index_select(0, prompts).requires_grad_(learning);
    part.added = model_.added_conditions(part.pooled, resolution_);
  }
  return part;
}

at::Tensor TextualInversion::predict(const Part& part) const {
  return model_.unet
      ->forward(part.noisy.to(model_.unet_dtype), part.timesteps, part.states.to(model_.unet_dtype),
                part.added)
      .to(at::kFloat);
}

InversionGradients TextualInversion::gradients(const InversionBatch& batch,
                                               const std::vector<IdentifierRows>& rows,
                                               const std::vector<double>& loss_scales,
                                               models::NamedTensors* trace) const {
  const device::ReproducibleAttention reproducible;
  const auto samples = batch.latents.size(0), classes = static_cast<std::int64_t>(rows.size());
  const auto per_class = samples / classes;
  auto leaves = stacked_rows(rows, model_.device);
  for (auto& leaf : leaves) leaf.requires_grad_(true);
  const auto text = model_.encode_text(batch.prompt_ids, leaves);
  auto state_gradient = at::zeros_like(text.states);
  auto pooled_gradient = model_.is_sdxl() ? at::zeros_like(text.pooled) : at::Tensor{};
  std::vector<float> weights(static_cast<std::size_t>(samples));
  for (std::int64_t i = 0; i < samples; ++i)
    weights[static_cast<std::size_t>(i)] = static_cast<float>(
        loss_scales[static_cast<std::size_t>(i / per_class)] / static_cast<double>(per_class));
  const auto weight = device::upload(at::tensor(weights), model_.device);

  InversionGradients result;
  std::vector<at::Tensor> all_errors;
  const auto step = micro_batch_ > 0 ? std::min(micro_batch_, samples) : samples;
  for (std::int64_t first = 0; first < samples; first += step) {
    const auto last = std::min(first + step, samples);
    const auto part = part_of(batch, text, first, last);
    const auto predicted = predict(part);
    const auto errors = (predicted - part.target).square().mean({1, 2, 3});
    const auto loss = (errors * weight.slice(0, first, last)).sum();
    std::vector<at::Tensor> inputs{part.states};
    if (part.pooled.defined()) inputs.push_back(part.pooled);
    const auto gradients = torch::autograd::grad({loss}, inputs);
    add_to_prompts(state_gradient, gradients[0], batch.prompts, first);
    if (part.pooled.defined()) add_to_prompts(pooled_gradient, gradients[1], batch.prompts, first);
    all_errors.push_back(errors.detach());
    if (trace == nullptr) continue;
    append(*trace, "noisy_latents", part.noisy);
    append(*trace, "encoder_hidden_states", part.states);
    append(*trace, "noise_pred", predicted);
    if (!part.pooled.defined()) continue;
    append(*trace, "text_embeds", part.pooled);
    append(*trace, "time_ids", part.added.time_ids);
  }

  result.errors = at::cat(all_errors).view({classes, per_class});
  std::vector<at::Tensor> outputs{text.states}, output_gradients{state_gradient};
  if (pooled_gradient.defined()) {
    outputs.push_back(text.pooled);
    output_gradients.push_back(pooled_gradient);
  }
  const auto of_rows = torch::autograd::grad(outputs, leaves, output_gradients);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    IdentifierRows of_class;
    for (std::size_t encoder = 0; encoder < of_rows.size(); ++encoder) {
      const auto n = rows[i][encoder].size(0);
      of_class.push_back(
          of_rows[encoder]
              .detach()
              .to(at::kFloat)
              .slice(0, static_cast<std::int64_t>(i) * n, static_cast<std::int64_t>(i + 1) * n) /
          loss_scales[i]);
    }
    result.gradients.push_back(std::move(of_class));
  }
  return result;
}

std::vector<double> TextualInversion::losses(const InversionBatch& batch, const IdentifierRows& rows,
                                             std::int64_t chunk) const {
  torch::NoGradGuard no_gradients;
  const auto text = model_.encode_text(
      batch.prompt_ids, rows.empty() ? std::vector<at::Tensor>{} : stacked_rows({rows}, model_.device));
  std::vector<double> all;
  const auto samples = batch.latents.size(0);
  for (std::int64_t first = 0; first < samples; first += chunk) {
    const auto part = part_of(batch, text, first, std::min(first + chunk, samples));
    const auto errors = (predict(part) - part.target).square().mean({1, 2, 3}).to(at::kCPU, at::kDouble);
    all.insert(all.end(), errors.data_ptr<double>(), errors.data_ptr<double>() + errors.numel());
  }
  return all;
}

}  // namespace deda::diffusion
