#include <ATen/ATen.h>
#include <fmt/format.h>

#include "device/figures/diffusion_parts.h"
#include "device/figures/operation_count.h"
#include "device/figures/random_weights.h"
#include "models/classifiers/classifier.h"
#include "models/layers.h"
#include "training/device.h"

namespace deda::figures {
namespace {

// A batch as LatentEditor gives it: keys and values of the texts were made before the first step.
struct UNetInput {
  at::Tensor sample, timesteps;
  models::TextKeys keys;
};

UNetInput made_up_input(const DiffusionBench& parts, std::int64_t rows) {
  const at::NoGradGuard no_gradients;
  const auto& model = *parts.model;
  const auto& config = model.unet->config();
  const auto options = parts.bench.of(model.unet_dtype);
  constexpr std::int64_t tokens = 77;
  constexpr double timestep = 400;
  UNetInput input;
  input.sample = at::randn({rows, config.in_channels, parts.latent_side(), parts.latent_side()}, options);
  input.timesteps = at::full({rows}, timestep, parts.bench.of(at::kFloat));
  input.keys = model.unet->keys_of(at::randn({rows, tokens, config.cross_attention_dim}, options));
  return input;
}

std::string name_of_step(const DiffusionBench& parts, std::int64_t rows) {
  return fmt::format("diffusion.unet.b{}.{}", rows, name_of(parts.model->unet_dtype));
}

}  // namespace

const char* name_of(at::ScalarType type) {
  return type == at::kBFloat16 ? "bf16" : type == at::kHalf ? "fp16" : "fp32";
}

void set_unet_type(diffusion::DiffusionModel& model, at::ScalarType type) {
  const at::NoGradGuard no_gradients;
  model.unet->to(type);
  model.unet_dtype = type;
}

void set_autoencoder_type(diffusion::DiffusionModel& model, at::ScalarType type) {
  const at::NoGradGuard no_gradients;
  model.autoencoder->to(type);
  model.transparent_encoder->to(type);
  model.transparent_decoder->to(type);
  model.vae_dtype = type;
}

void use_tf32(DiffusionBench& parts, bool on) {
  training::apply_precision(on ? training::Precision::tf32 : training::Precision::fp32);
  parts.tf32 = on;
}

const char* DiffusionBench::autoencoder_type() const {
  return tf32 && model->vae_dtype == at::kFloat ? "tf32" : name_of(model->vae_dtype);
}

bool is_channels_last(const torch::nn::Module& network) {
  for (const auto& parameter : network.parameters()) {
    // Of a 1x1 kernel both orders are the same.
    if (parameter.dim() == 4 && parameter.size(1) > 1 && parameter.size(2) > 1)
      return parameter.stride(1) == 1;
  }
  return false;
}

void use_order(torch::nn::Module& network, bool channels_last) {
  if (channels_last) return models::use_channels_last(network);
  const at::NoGradGuard no_gradients;
  // Copied whatever it is: a 1x1 kernel counts as plain with channels-last strides too, and convolutions
  // choose their order by strides.
  for (auto& parameter : network.parameters())
    parameter.set_data(at::empty(parameter.sizes(), parameter.options()).copy_(parameter));
}

void print_unet_step(const DiffusionBench& parts, std::int64_t rows, const std::string& variant) {
  const auto name = name_of_step(parts, rows) + variant;
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const auto input = made_up_input(parts, rows);
    at::Tensor output;
    const auto pass = [&] { output = parts.model->unet->forward(input.sample, input.timesteps, input.keys); };
    const double operations = operations_in(pass) / static_cast<double>(rows);
    const double rate =
        parts.bench.print_rate(name, static_cast<double>(rows), "rows/s", pass,
                               {.note = fmt::format("{:.3f} TFLOP a row", 1e-12 * operations)});
    print({name + ".milliseconds", 1e3 * static_cast<double>(rows) / rate, "ms"});
    print_share(name, rate * operations, parts.rates.of(parts.model->unet_dtype));
    if (!at::isfinite(output).all().item<bool>()) print_error(name + ".finite", "the output is not finite");
  });
}

void print_unet_graph(const DiffusionBench& parts, std::int64_t rows) {
  const auto name = name_of_step(parts, rows) + ".graph";
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    constexpr int warm_ups = 3;
    const auto input = made_up_input(parts, rows);
    at::Tensor output;
    const auto graph = parts.bench.plugin().capture(
        [&] { output = parts.model->unet->forward(input.sample, input.timesteps, input.keys); }, warm_ups);
    parts.bench.print_rate(name, static_cast<double>(rows), "rows/s", [&] { graph->replay(); });
  });
}

void add_transparency_branches(const DiffusionBench& parts) {
  const at::NoGradGuard no_gradients;
  std::uint64_t seed = 1000;
  for (const auto& site : parts.model->unet->attention_sites()) {
    for (const int which : {1, 2}) {
      const auto branch = models::UNet::add_transparency(*site.module, which);
      branch->to(parts.bench.device(), parts.model->unet_dtype);
      fill_with_random_weights(*branch, seed++);
      models::freeze(*branch);
    }
  }
}

}  // namespace deda::figures
