// vae/config.json of Stable Diffusion 1.5 and SDXL (diffusers). No Torch: plans and `deda doctor` read it
// too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace deda::models {

struct AutoencoderConfig {
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<std::int64_t> block_out_channels{128, 256, 512, 512};
  std::int64_t layers_per_block = 2;
  std::int64_t norm_groups = 32;
  double scaling_factor = 0.18215;  // of the latents that the UNet sees; absent in old files
  bool force_upcast = false;        // overflows in fp16 (SDXL)
  // Pixels of one latent along a side.
  std::int64_t factor() const { return std::int64_t{1} << (block_out_channels.size() - 1); }
};

AutoencoderConfig read_autoencoder_config(const std::filesystem::path& file);  // DataError lists all problems
std::string to_json(const AutoencoderConfig& config);

}  // namespace deda::models
