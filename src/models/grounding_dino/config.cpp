#include "models/grounding_dino/config.h"

#include "models/weights/json_config.h"

namespace deda::models {
namespace {

// out_features ("stage2", ...) or out_indices; transformers: the last stage alone where neither is given.
std::vector<std::int64_t> out_stages(JsonConfig& json, std::int64_t stages) {
  std::vector<std::int64_t> chosen;
  if (json.has("out_features") && !json.is_null("out_features")) {
    for (const auto& name : json.strings("out_features", {})) {
      const auto digits = name.rfind("stage", 0) == 0 ? name.substr(5) : std::string{};
      const bool is_number =
          !digits.empty() && digits.size() < 3 && digits.find_first_not_of("0123456789") == std::string::npos;
      chosen.push_back(is_number ? std::stoll(digits) : 0);
    }
  } else {
    chosen = json.integers("out_indices", {stages});
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] < 1 || chosen[i] > stages || (i > 0 && chosen[i] <= chosen[i - 1])) {
      json.problem("out_features", "must name stages 1.." + std::to_string(stages) + " in rising order");
      return {stages};
    }
  }
  if (chosen.empty()) json.problem("out_features", "names no stage");
  return chosen.empty() ? std::vector<std::int64_t>{stages} : chosen;
}

SwinConfig read_backbone(JsonConfig json, bool given) {
  SwinConfig config;
  json.expect_text("model_type", "swin");
  config.patch_size = json.integer_or_first("patch_size", config.patch_size);
  config.channels = json.integer("num_channels", config.channels);
  config.embed_dim = json.integer("embed_dim", config.embed_dim);
  config.window_size = json.integer("window_size", config.window_size);
  constexpr std::int64_t largest_window = 64;
  if (config.window_size > largest_window) {
    json.problem("window_size", "must be at most " + std::to_string(largest_window));
    config.window_size = largest_window;
  }
  config.depths = json.integers("depths", config.depths);
  config.heads = json.integers("num_heads", config.heads);
  config.mlp_ratio = json.number("mlp_ratio", config.mlp_ratio);
  config.norm_epsilon = json.number("layer_norm_eps", config.norm_epsilon);
  config.qkv_bias = json.boolean("qkv_bias", config.qkv_bias);
  json.expect_text("hidden_act", "gelu");
  json.expect_boolean("use_absolute_embeddings", false);
  json.expect_integer("num_channels", 3);
  constexpr std::size_t most_stages = 8;
  if (config.depths.size() > most_stages) {
    json.problem("depths", "has more than " + std::to_string(most_stages) + " stages");
    config.depths.resize(most_stages);
  }
  const auto stages = static_cast<std::int64_t>(config.depths.size());
  if (config.heads.size() != config.depths.size())
    json.problem("num_heads", "must have one entry for each of depths");
  config.heads.resize(config.depths.size(), 1);
  for (std::int64_t stage = 1; stage <= stages; ++stage) {
    if (config.width(stage) % config.heads[static_cast<std::size_t>(stage - 1)] != 0)
      json.problem("num_heads", "stage " + std::to_string(stage) + ": does not divide the width " +
                                    std::to_string(config.width(stage)));
  }
  if (!(config.mlp_ratio * static_cast<double>(config.embed_dim) >= 1))
    json.problem("mlp_ratio", "is too small");
  if (given) config.out_stages = out_stages(json, stages);
  return config;
}

BertConfig read_text(JsonConfig json) {
  BertConfig config;
  json.expect_text("model_type", "bert");
  config.vocab_size = json.integer("vocab_size", config.vocab_size);
  config.hidden_size = json.integer("hidden_size", config.hidden_size);
  config.layers = json.integer("num_hidden_layers", config.layers);
  config.heads = json.integer("num_attention_heads", config.heads);
  config.intermediate_size = json.integer("intermediate_size", config.intermediate_size);
  config.positions = json.integer("max_position_embeddings", config.positions);
  config.token_types = json.integer("type_vocab_size", config.token_types);
  config.norm_epsilon = json.number("layer_norm_eps", config.norm_epsilon);
  json.expect_text("hidden_act", "gelu");
  json.expect_text("position_embedding_type", "absolute");
  json.expect_boolean("is_decoder", false);
  if (config.hidden_size % config.heads != 0)
    json.problem("num_attention_heads", "does not divide hidden_size");
  return config;
}

void check_sizes(JsonConfig& json, const GroundingDinoConfig& config) {
  if (config.width % projection_norm_groups != 0)
    json.problem("d_model", "must be a multiple of " + std::to_string(projection_norm_groups));
  if (config.encoder_heads % 2 != 0 || config.width % config.encoder_heads != 0)
    json.problem("encoder_attention_heads", "must be even and divide d_model");
  if (config.decoder_heads == 0 || config.width % config.decoder_heads != 0)
    json.problem("decoder_attention_heads", "must divide d_model");
  if (config.encoder_inner % 2 != 0 || config.text_heads() == 0 ||
      config.text_inner() % config.text_heads() != 0)
    json.problem("encoder_ffn_dim", "must be even, and its half a multiple of half the heads");
  if (config.levels < static_cast<std::int64_t>(config.backbone.out_stages.size()))
    json.problem("num_feature_levels", "must not be less than the backbone's feature maps, " +
                                           std::to_string(config.backbone.out_stages.size()));
}

}  // namespace

GroundingDinoConfig read_grounding_dino_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  GroundingDinoConfig config;
  json.expect_text("model_type", "grounding-dino");
  config.backbone = read_backbone(json.part("backbone_config"),
                                  json.has("backbone_config") && !json.is_null("backbone_config"));
  config.text = read_text(json.part("text_config"));
  config.width = json.integer("d_model", config.width);
  config.queries = json.integer("num_queries", config.queries);
  config.levels = json.integer("num_feature_levels", config.levels);
  config.max_text_len = json.integer("max_text_len", config.max_text_len);
  config.encoder_layers = json.integer("encoder_layers", config.encoder_layers);
  config.encoder_heads = json.integer("encoder_attention_heads", config.encoder_heads);
  config.encoder_inner = json.integer("encoder_ffn_dim", config.encoder_inner);
  config.encoder_points = json.integer("encoder_n_points", config.encoder_points);
  config.decoder_layers = json.integer("decoder_layers", config.decoder_layers);
  config.decoder_heads = json.integer("decoder_attention_heads", config.decoder_heads);
  config.decoder_inner = json.integer("decoder_ffn_dim", config.decoder_inner);
  config.decoder_points = json.integer("decoder_n_points", config.decoder_points);
  config.norm_epsilon = json.number("layer_norm_eps", config.norm_epsilon);
  config.position_temperature = json.number("positional_embedding_temperature", config.position_temperature);
  json.expect_text("activation_function", "relu");
  json.expect_text("position_embedding_type", "sine");
  json.expect_integer("query_dim", 4);
  json.expect_boolean("two_stage", true);
  json.expect_boolean("embedding_init_target", true);
  json.expect_boolean("decoder_bbox_embed_share", true);
  json.expect_boolean("two_stage_bbox_embed_share", false);
  check_sizes(json, config);
  json.finish();
  return config;
}

}  // namespace deda::models
