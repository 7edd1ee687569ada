#include "models/text/clip_text_config.h"

#include "models/weights/json_config.h"

namespace deda::models {

bool clip_quick_gelu(JsonConfig& json) {
  const auto activation = json.text("hidden_act", "quick_gelu");
  const bool quick = activation == "quick_gelu";
  if (!quick && activation != "gelu")
    json.problem("hidden_act", "\"" + activation + "\" is not supported", "Supported: quick_gelu, gelu.");
  return quick;
}

ClipTextConfig clip_text_fields(JsonConfig& json) {
  ClipTextConfig config;
  config.vocab_size = json.integer("vocab_size", 49408);
  config.hidden_size = json.integer("hidden_size", 512);
  config.layers = json.integer("num_hidden_layers", 12);
  config.heads = json.integer("num_attention_heads", 8);
  config.intermediate_size = json.integer("intermediate_size", 2048);
  config.positions = json.integer("max_position_embeddings", 77);
  config.norm_epsilon = json.number("layer_norm_eps", 1e-5);
  config.eos_token_id = json.integer("eos_token_id", 49407);
  config.quick_gelu = clip_quick_gelu(json);
  if (config.hidden_size % config.heads != 0)
    json.problem("num_attention_heads", "does not divide hidden_size");
  return config;
}

ClipTextConfig read_clip_text_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  bool known = false, projected = false;
  const auto architectures = json.strings("architectures", {"CLIPTextModel"});
  for (const auto& name : architectures) {
    projected = projected || name == "CLIPTextModelWithProjection";
    known = known || name == "CLIPTextModel" || name == "CLIPTextModelWithProjection";
  }
  if (!known)
    json.problem("architectures", "this is not the configuration of a CLIP text encoder",
                 "Check which folder holds which part of the model.");
  auto config = clip_text_fields(json);
  config.projection = projected ? json.integer("projection_dim", 512) : 0;
  json.finish();
  return config;
}

void write_clip_text_fields(JsonText& json, const ClipTextConfig& config) {
  json.integer("bos_token_id", config.eos_token_id - 1);
  json.integer("eos_token_id", config.eos_token_id);
  json.text("hidden_act", config.quick_gelu ? "quick_gelu" : "gelu");
  json.integer("hidden_size", config.hidden_size);
  json.integer("intermediate_size", config.intermediate_size);
  json.number("layer_norm_eps", config.norm_epsilon);
  json.integer("max_position_embeddings", config.positions);
  json.text("model_type", "clip_text_model");
  json.integer("num_attention_heads", config.heads);
  json.integer("num_hidden_layers", config.layers);
  json.integer("pad_token_id", config.eos_token_id);
  if (config.projection > 0) json.integer("projection_dim", config.projection);
  json.integer("vocab_size", config.vocab_size);
}

std::string to_json(const ClipTextConfig& config) {
  JsonText json;
  json.texts("architectures", {config.projection > 0 ? "CLIPTextModelWithProjection" : "CLIPTextModel"});
  write_clip_text_fields(json, config);
  return json.str();
}

}  // namespace deda::models
