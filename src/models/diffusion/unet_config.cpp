#include "models/diffusion/unet_config.h"

#include "models/weights/json_config.h"

namespace deda::models {

UNetConfig read_unet_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  UNetConfig config;
  json.expect_class("UNet2DConditionModel");
  config.in_channels = json.integer("in_channels", 4);
  config.out_channels = json.integer("out_channels", 4);
  config.sample_size = json.integer_or_first("sample_size", 64);
  config.block_out_channels = json.integers("block_out_channels", config.block_out_channels);
  const auto levels = config.block_out_channels.size();
  const auto attention = [&](const std::string& key, const std::string& with, const std::string& without,
                             std::vector<std::string> fallback) {
    std::vector<bool> flags;
    for (const auto& name : json.strings(key, std::move(fallback))) {
      if (name != with && name != without)
        json.problem(key, "block type " + name + " is not supported",
                     "Supported: " + with + ", " + without + ".");
      flags.push_back(name == with);
    }
    if (flags.size() != levels)
      json.problem(key, "must name as many blocks as block_out_channels has widths");
    flags.resize(levels);
    return flags;
  };
  config.down_attention =
      attention("down_block_types", "CrossAttnDownBlock2D", "DownBlock2D",
                {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"});
  config.up_attention =
      attention("up_block_types", "CrossAttnUpBlock2D", "UpBlock2D",
                {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"});
  config.layers_per_block = json.integer("layers_per_block", 2);
  config.cross_attention_dim = json.integer("cross_attention_dim", 1280);
  config.heads = json.integer_per_level("attention_head_dim", 8, levels);
  if (json.has("num_attention_heads") && !json.is_null("num_attention_heads"))
    config.heads = json.integer_per_level("num_attention_heads", 8, levels);
  config.depth = json.integer_per_level("transformer_layers_per_block", 1, levels);
  config.linear_projection = json.boolean("use_linear_projection", false);
  config.norm_groups = json.integer("norm_num_groups", 32);
  config.norm_epsilon = json.number("norm_eps", 1e-5);
  if (const auto kind = json.text("addition_embed_type", ""); kind == "text_time") {
    config.added_time_width = json.integer("addition_time_embed_dim", 256);
    config.added_input_width = json.integer("projection_class_embeddings_input_dim", 2816);
  } else if (!kind.empty()) {
    json.problem("addition_embed_type", "\"" + kind + "\" is not supported",
                 "Supported: null, \"text_time\".");
  }
  json.expect_text("act_fn", "silu");
  json.expect_boolean("center_input_sample", false);
  json.expect_boolean("flip_sin_to_cos", true);
  json.expect_integer("freq_shift", 0);
  json.expect_boolean("dual_cross_attention", false);
  json.expect_boolean("only_cross_attention", false);
  json.expect_null("class_embed_type");
  json.expect_null("encoder_hid_dim");
  json.expect_null("time_cond_proj_dim");
  json.expect_text("mid_block_type", "UNetMidBlock2DCrossAttn");
  json.expect_text("resnet_time_scale_shift", "default");
  for (std::size_t level = 0; level < levels; ++level) {
    const auto width = config.block_out_channels[level];
    if (config.norm_groups > 0 && width % config.norm_groups != 0)
      json.problem("block_out_channels", "norm_num_groups does not divide " + std::to_string(width));
    if (config.heads[level] > 0 && width % config.heads[level] != 0)
      json.problem("attention_head_dim", "the number of heads does not divide " + std::to_string(width));
  }
  json.finish();
  return config;
}

std::string to_json(const UNetConfig& config) {
  JsonText json;
  json.text("_class_name", "UNet2DConditionModel");
  json.text("act_fn", "silu");
  if (config.added_time_width > 0) {
    json.text("addition_embed_type", "text_time");
    json.integer("addition_time_embed_dim", config.added_time_width);
    json.integer("projection_class_embeddings_input_dim", config.added_input_width);
  }
  json.integers("attention_head_dim", config.heads);
  json.integers("block_out_channels", config.block_out_channels);
  json.boolean("center_input_sample", false);
  json.integer("cross_attention_dim", config.cross_attention_dim);
  std::vector<std::string> down, up;
  for (const bool with : config.down_attention) down.push_back(with ? "CrossAttnDownBlock2D" : "DownBlock2D");
  for (const bool with : config.up_attention) up.push_back(with ? "CrossAttnUpBlock2D" : "UpBlock2D");
  json.texts("down_block_types", down);
  json.boolean("flip_sin_to_cos", true);
  json.integer("freq_shift", 0);
  json.integer("in_channels", config.in_channels);
  json.integer("layers_per_block", config.layers_per_block);
  json.number("norm_eps", config.norm_epsilon);
  json.integer("norm_num_groups", config.norm_groups);
  json.integer("out_channels", config.out_channels);
  json.integer("sample_size", config.sample_size);
  json.integers("transformer_layers_per_block", config.depth);
  json.texts("up_block_types", up);
  json.boolean("use_linear_projection", config.linear_projection);
  return json.str();
}

}  // namespace deda::models
