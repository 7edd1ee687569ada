// config.json of a CLIP text encoder, alone (CLIPTextModel, CLIPTextModelWithProjection) or as the text side
// of a whole CLIP. Source: transformers models/clip/configuration_clip.py. No Torch: plans and `deda doctor`
// read it too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace deda::models {

class JsonConfig;
class JsonText;

// To transformers this `eos_token_id` means "the largest id of a text": what the files published before 2023
// say.
inline constexpr std::int64_t clip_old_eos_token_id = 2;

struct ClipTextConfig {
  std::int64_t vocab_size = 49408, hidden_size = 768, layers = 12, heads = 12, intermediate_size = 3072;
  std::int64_t positions = 77;
  std::int64_t projection = 0;  // width of text_projection; 0: none (CLIPTextModel)
  double norm_epsilon = 1e-5;
  bool quick_gelu = true;             // x * sigmoid(1.702 x); else the exact GELU
  std::int64_t eos_token_id = 49407;  // 2 in the published files: pooled at the largest id
};

ClipTextConfig read_clip_text_config(const std::filesystem::path& file);  // DataError lists all problems
std::string to_json(const ClipTextConfig& config);

// For the configuration of a whole CLIP: the fields themselves, absent keys with transformers' values; no
// projection. What is wrong is noted in `json`.
ClipTextConfig clip_text_fields(JsonConfig& json);
void write_clip_text_fields(JsonText& json, const ClipTextConfig& config);
// hidden_act: true for quick_gelu, false for gelu (erf); anything else is noted as a problem.
bool clip_quick_gelu(JsonConfig& json);

}  // namespace deda::models
