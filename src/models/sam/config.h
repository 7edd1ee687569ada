// Sizes of a Segment Anything model: read from transformers' config.json, or from the shapes of the tensors
// where a file comes alone (Meta's original names, MobileSAM).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "models/weights/weight_files.h"

namespace deda::models {

// ViT image encoder (vision_config). Defaults: ViT-B, as transformers'.
struct SamVisionConfig {
  std::int64_t hidden_size = 768, layers = 12, heads = 12, mlp_dim = 3072, output_channels = 256;
  std::int64_t image_size = 1024, patch_size = 16;
  std::int64_t window_size = 14;  // 0: every layer is global
  std::vector<std::int64_t> global_layers{2, 5, 8, 11};
  bool qkv_bias = true, absolute_positions = true, relative_positions = true;
  double norm_epsilon = 1e-6;
  std::int64_t grid() const { return image_size / patch_size; }
};

// MobileSAM's image encoder. The last of `dims` has no merge behind it, the last merge keeps the resolution.
struct TinyVitConfig {
  std::int64_t image_size = 1024, output_channels = 256;
  std::int64_t stem_width = 32, expanded_width = 256;  // inside of the stem, inside of stage 0's blocks
  std::vector<std::int64_t> dims{64, 128, 160, 320}, depths{2, 2, 6, 2};
  std::vector<std::int64_t> heads{2, 4, 5, 10}, windows{7, 7, 14, 7};  // of stage 0 not used
  std::vector<std::int64_t> mlp_dims{256, 512, 640, 1280};             // of stage 0 not used
  std::int64_t grid() const { return image_size / (std::int64_t{1} << dims.size()); }
};

struct SamPromptConfig {
  std::int64_t hidden_size = 256, image_size = 1024, grid = 64, mask_channels = 16;
  double norm_epsilon = 1e-6;
};

struct SamDecoderConfig {
  std::int64_t hidden_size = 256, mlp_dim = 2048, layers = 2, heads = 8;
  std::int64_t final_downsample = 2;  // of the final attention; the layers' own is 2 whatever the file says
  std::int64_t multimask_outputs = 3, iou_head_depth = 3, iou_head_width = 256;
  double norm_epsilon = 1e-6;  // of the layers' norms; Meta's code has 1e-5
};

struct SamConfig {
  SamVisionConfig vision;
  std::optional<TinyVitConfig> mobile;  // in place of `vision`
  SamPromptConfig prompt;
  SamDecoderConfig decoder;
  std::int64_t image_size() const { return mobile ? mobile->image_size : vision.image_size; }
  std::int64_t grid() const { return mobile ? mobile->grid() : vision.grid(); }
};

// Which names the tensors have. Meta's: image_encoder..., with or without MobileSAM's encoder.
struct SamNames {
  bool original = false;
  bool mobile = false;
};
SamNames sam_names(const WeightFiles& files);

// DataError lists everything that is malformed or that this program does not compute.
SamConfig read_sam_config(const std::filesystem::path& file);
// From shapes and names. What shapes do not tell is Meta's: 8 heads in the decoder, epsilon 1e-5, and for
// MobileSAM the picture's size, which is `mobile_image_size`. DataError where tensors that tell are missing.
SamConfig sam_config_of(const WeightFiles& files, std::int64_t mobile_image_size = 1024);

}  // namespace deda::models
