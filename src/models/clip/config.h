// config.json of a whole CLIP (openai/clip-vit-base-patch32 and the other sizes of that family: ViT-B/16,
// ViT-L/14, 336 pixels). Source: transformers models/clip/configuration_clip.py. No Torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "models/text/clip_text_config.h"

namespace deda::models {

inline constexpr int clip_colours = 3;  // red, green, blue

struct ClipVisionConfig {
  std::int64_t hidden_size = 768, layers = 12, heads = 12, intermediate_size = 3072;
  std::int64_t image_size = 224, patch_size = 32;  // both sides
  double norm_epsilon = 1e-5;
  bool quick_gelu = true;  // x * sigmoid(1.702 x); else the exact GELU
  // Places that the picture's patches take, with the class token in front. What is left of a side beyond the
  // last whole patch is not looked at.
  std::int64_t positions() const { return (image_size / patch_size) * (image_size / patch_size) + 1; }
};

struct ClipConfig {
  ClipVisionConfig vision;
  // `text.projection` is `projection`.
  ClipTextConfig text{.hidden_size = 512, .heads = 8, .intermediate_size = 2048, .projection = 512};
  std::int64_t projection = 512;  // width in which pictures and texts are compared
};

// The two sides lie under `vision_config` and `text_config`; absent keys have transformers' values. Where the
// file has `vision_config_dict` or `text_config_dict` (published before 2023), transformers takes that object
// alone for the side, and so it is here. DataError lists all problems.
ClipConfig read_clip_config(const std::filesystem::path& file);
std::string to_json(const ClipConfig& config);  // as transformers reads it

}  // namespace deda::models
