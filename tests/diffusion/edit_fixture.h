// The tiny model, pictures and seeds of tests/golden/sdedit.py.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <memory>

#include "diffusion/generation/generator.h"
#include "models/made_up_weights.h"
#include "support/temporary_folder.h"
#include "support/tiny_diffusion_model.h"

namespace deda::test {

template <class Network>
void write_made_up(const std::filesystem::path& file, Network&& network) {
  fill_made_up(network);
  models::save_weights(network, file, {{"format", "pt"}});
}

// The tiny model's folder with the golden program's weights in UNet, autoencoder and transparent networks.
inline void write_golden_model(const std::filesystem::path& folder) {
  const TinyModelOptions options;
  write_tiny_diffusion_model(folder, options);
  write_made_up(folder / "unet" / "diffusion_pytorch_model.safetensors",
                models::UNet(tiny_unet_config(options)));
  write_made_up(folder / "vae" / "diffusion_pytorch_model.safetensors",
                models::Autoencoder(tiny_autoencoder_config(options)));
  write_made_up(folder / "transparent_encoder.safetensors", models::TransparentEncoder({8, 8, 16}, 4));
  write_made_up(folder / "transparent_decoder.safetensors",
                models::TransparentDecoder({.widths = {8, 8, 16}, .first_attention = 2, .latent_level = 2}));
}

inline std::shared_ptr<const diffusion::DiffusionModel> load_tiny(const std::filesystem::path& folder) {
  diffusion::ModelsConfig config;
  config.base = folder;
  return std::make_shared<const diffusion::DiffusionModel>(config, at::kCPU);
}

constexpr int tiny_resolution = 32;

// Hashed colours under a disc whose edge is soft over four pixels.
inline io::Image golden_picture(int number) {
  constexpr double radius = 12, soft = 4;
  io::Image rgba(tiny_resolution, tiny_resolution, 4);
  for (std::size_t i = 0; i < rgba.pixels.size(); ++i)
    rgba.pixels[i] =
        static_cast<std::uint8_t>(hashed_number(static_cast<std::uint64_t>(500 + number), i) * 256);
  for (int y = 0; y < rgba.height; ++y) {
    for (int x = 0; x < rgba.width; ++x) {
      const double dx = x - 15.0 - number, dy = y - 16.0, distance = std::sqrt(dx * dx + dy * dy);
      rgba.row(y)[4 * x + 3] =
          static_cast<std::uint8_t>(std::min(1.0, std::max(0.0, (radius - distance) / soft)) * 255);
    }
  }
  return rgba;
}

inline diffusion::CdpToEdit golden_cdp(int number) {
  return {{golden_picture(number), {0, 0, static_cast<double>(tiny_resolution)}},
          static_cast<std::size_t>(number % 2),
          "images/" + std::to_string(number) + ".png"};
}

inline double scaled_difference(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

}  // namespace deda::test
