#include "models/diffusion/autoencoder_config.h"

#include "models/weights/json_config.h"

namespace deda::models {

AutoencoderConfig read_autoencoder_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  AutoencoderConfig config;
  json.expect_class("AutoencoderKL");
  config.in_channels = json.integer("in_channels", 3);
  config.out_channels = json.integer("out_channels", 3);
  config.latent_channels = json.integer("latent_channels", 4);
  config.block_out_channels = json.integers("block_out_channels", {64});
  config.layers_per_block = json.integer("layers_per_block", 1);
  config.norm_groups = json.integer("norm_num_groups", 32);
  config.scaling_factor = json.number("scaling_factor", 0.18215);
  config.force_upcast = json.boolean("force_upcast", true) && json.has("force_upcast");
  json.expect_text("act_fn", "silu");
  json.expect_boolean("use_quant_conv", true);
  json.expect_boolean("use_post_quant_conv", true);
  json.expect_boolean("mid_block_add_attention", true);
  json.expect_null("latents_mean");
  json.expect_null("latents_std");
  json.expect_null("shift_factor");
  for (const auto& name : json.strings("down_block_types", {})) {
    if (name != "DownEncoderBlock2D")
      json.problem("down_block_types", "block type " + name + " is not supported");
  }
  for (const auto& name : json.strings("up_block_types", {})) {
    if (name != "UpDecoderBlock2D")
      json.problem("up_block_types", "block type " + name + " is not supported");
  }
  for (const auto width : config.block_out_channels) {
    if (width % config.norm_groups != 0)
      json.problem("block_out_channels", "norm_num_groups does not divide " + std::to_string(width));
  }
  json.finish();
  return config;
}

std::string to_json(const AutoencoderConfig& config) {
  JsonText json;
  json.text("_class_name", "AutoencoderKL");
  json.text("act_fn", "silu");
  json.integers("block_out_channels", config.block_out_channels);
  const std::size_t levels = config.block_out_channels.size();
  json.texts("down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D"));
  json.boolean("force_upcast", config.force_upcast);
  json.integer("in_channels", config.in_channels);
  json.integer("latent_channels", config.latent_channels);
  json.integer("layers_per_block", config.layers_per_block);
  json.integer("norm_num_groups", config.norm_groups);
  json.integer("out_channels", config.out_channels);
  json.number("scaling_factor", config.scaling_factor);
  json.texts("up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D"));
  return json.str();
}

}  // namespace deda::models
