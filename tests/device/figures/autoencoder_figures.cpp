#include <ATen/ATen.h>
#include <fmt/format.h>

#include "device/figures/diffusion_parts.h"
#include "models/diffusion/transparent.h"

namespace deda::figures {
namespace {

std::string name_of_figure(const DiffusionBench& parts, const char* what, std::int64_t pictures,
                           const std::string& variant) {
  return fmt::format("diffusion.{}.b{}.{}{}", what, pictures, parts.autoencoder_type(), variant);
}

void print_pass(const DiffusionBench& parts, const std::string& name, std::int64_t pictures,
                const std::function<at::Tensor()>& pass) {
  at::Tensor output;
  parts.bench.print_rate(name, static_cast<double>(pictures), "images/s", [&] { output = pass(); });
  if (!at::isfinite(output).all().item<bool>()) print_error(name + ".finite", "the output is not finite");
}

at::Tensor latents_of(const DiffusionBench& parts, std::int64_t pictures) {
  return at::randn({pictures, parts.model->autoencoder->config().latent_channels, parts.latent_side(),
                    parts.latent_side()},
                   parts.bench.of(parts.model->vae_dtype));
}

}  // namespace

void print_encoding(const DiffusionBench& parts, std::int64_t pictures, const std::string& variant) {
  const auto name = name_of_figure(parts, "autoencoder.encode", pictures, variant);
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const auto input = at::rand({pictures, 3, parts.resolution(), parts.resolution()},
                                parts.bench.of(parts.model->vae_dtype)) *
                           2 -
                       1;
    print_pass(parts, name, pictures, [&] { return parts.model->autoencoder->encode(input).mean; });
  });
}

void print_decoding(const DiffusionBench& parts, std::int64_t pictures, const std::string& variant) {
  const auto name = name_of_figure(parts, "autoencoder.decode", pictures, variant);
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const auto input = latents_of(parts, pictures);
    print_pass(parts, name, pictures, [&] { return parts.model->autoencoder->decode(input); });
  });
}

void print_transparent_decoding(const DiffusionBench& parts, std::int64_t pictures,
                                const std::string& variant) {
  const auto name = name_of_figure(parts, "transparent_decoder", pictures, variant);
  parts.bench.attempt(name, [&] {
    const at::NoGradGuard no_gradients;
    const auto pixel = at::rand({pictures, 3, parts.resolution(), parts.resolution()},
                                parts.bench.of(parts.model->vae_dtype));
    const auto latent = latents_of(parts, pictures);
    const auto network = [&](const at::Tensor& p, const at::Tensor& l) {
      return parts.model->transparent_decoder->forward(p, l);
    };
    print_pass(parts, name, pictures, [&] { return models::decode_by_votes(network, pixel, latent); });
  });
}

}  // namespace deda::figures
