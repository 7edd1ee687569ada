// unet/config.json of Stable Diffusion 1.5 and SDXL (diffusers). No Torch: plans and `deda doctor` read it
// too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace deda::models {

// The fields of unet/config.json that decide the shape.
struct UNetConfig {
  std::int64_t in_channels = 4, out_channels = 4, sample_size = 64;
  std::vector<std::int64_t> block_out_channels{320, 640, 1280, 1280};
  std::vector<bool> down_attention{true, true, true, false};  // CrossAttnDownBlock2D or DownBlock2D
  std::vector<bool> up_attention{false, true, true, true};
  std::int64_t layers_per_block = 2;
  std::int64_t cross_attention_dim = 768;
  std::vector<std::int64_t> heads{8, 8, 8, 8};  // the file calls it attention_head_dim
  std::vector<std::int64_t> depth{1, 1, 1, 1};  // transformer_layers_per_block
  bool linear_projection = false;
  std::int64_t norm_groups = 32;
  double norm_epsilon = 1e-5;
  std::int64_t added_time_width = 0;   // addition_time_embed_dim; 0: no added conditions (SD1.5)
  std::int64_t added_input_width = 0;  // projection_class_embeddings_input_dim
};

// DataError lists everything in the file that is missing, malformed or not supported.
UNetConfig read_unet_config(const std::filesystem::path& file);
std::string to_json(const UNetConfig& config);  // as diffusers reads it

}  // namespace deda::models
