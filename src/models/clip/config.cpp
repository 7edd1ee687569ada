#include "models/clip/config.h"

#include <algorithm>

#include "models/weights/json_config.h"

namespace deda::models {
namespace {

JsonConfig side_of(JsonConfig& json, const std::string& key) {
  const auto older = key + "_dict";
  return json.part(json.has(older) && !json.is_null(older) ? older : key);
}

ClipVisionConfig vision_fields(JsonConfig& json) {
  ClipVisionConfig config;
  config.hidden_size = json.integer("hidden_size", config.hidden_size);
  config.layers = json.integer("num_hidden_layers", config.layers);
  config.heads = json.integer("num_attention_heads", config.heads);
  config.intermediate_size = json.integer("intermediate_size", config.intermediate_size);
  config.image_size = json.integer("image_size", config.image_size);
  config.patch_size = json.integer("patch_size", config.patch_size);
  config.norm_epsilon = json.number("layer_norm_eps", config.norm_epsilon);
  config.quick_gelu = clip_quick_gelu(json);
  json.expect_integer("num_channels", clip_colours);
  if (config.hidden_size % config.heads != 0)
    json.problem("num_attention_heads", "does not divide hidden_size");
  if (config.patch_size > config.image_size) json.problem("patch_size", "is larger than image_size");
  return config;
}

void check_kind(JsonConfig& json) {
  const bool has_sides = json.is_object("vision_config") || json.is_object("text_config") ||
                         json.is_object("vision_config_dict") || json.is_object("text_config_dict");
  const auto kind = json.text("model_type", has_sides ? "clip" : "");
  const auto architectures = json.strings("architectures", {"CLIPModel"});
  if (kind != "clip")
    json.problem("model_type",
                 kind.empty() ? "is missing, and there is neither vision_config nor text_config: this is not "
                                "the configuration of a CLIP"
                              : "this is the configuration of \"" + kind + "\", not of a whole CLIP",
                 "A folder of a CLIPModel is needed, for instance openai/clip-vit-base-patch32.");
  else if (std::find(architectures.begin(), architectures.end(), "CLIPModel") == architectures.end())
    json.problem("architectures", "names no CLIPModel",
                 "A CLIP with both sides is needed, for instance openai/clip-vit-base-patch32.");
}

}  // namespace

ClipConfig read_clip_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  ClipConfig config;
  check_kind(json);
  auto vision = side_of(json, "vision_config");
  config.vision = vision_fields(vision);
  auto text = side_of(json, "text_config");
  config.text = clip_text_fields(text);
  // The sides' own projection_dim counts only where a side is published alone.
  config.projection = json.integer("projection_dim", config.projection);
  config.text.projection = config.projection;
  json.finish();
  return config;
}

std::string to_json(const ClipConfig& config) {
  const auto& vision = config.vision;
  JsonText pictures, texts, json;
  pictures.text("hidden_act", vision.quick_gelu ? "quick_gelu" : "gelu");
  pictures.integer("hidden_size", vision.hidden_size);
  pictures.integer("image_size", vision.image_size);
  pictures.integer("intermediate_size", vision.intermediate_size);
  pictures.number("layer_norm_eps", vision.norm_epsilon);
  pictures.text("model_type", "clip_vision_model");
  pictures.integer("num_attention_heads", vision.heads);
  pictures.integer("num_channels", clip_colours);
  pictures.integer("num_hidden_layers", vision.layers);
  pictures.integer("patch_size", vision.patch_size);
  pictures.integer("projection_dim", config.projection);
  write_clip_text_fields(texts, config.text);
  json.texts("architectures", {"CLIPModel"});
  json.text("model_type", "clip");
  json.integer("projection_dim", config.projection);
  json.object("text_config", texts);
  json.object("vision_config", pictures);
  return json.str();
}

}  // namespace deda::models
