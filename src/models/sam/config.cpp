#include "models/sam/config.h"

#include <cmath>

#include "models/weights/json_config.h"

namespace deda::models {
namespace {

constexpr double original_norm_epsilon = 1e-5;  // torch's default, in the decoder of Meta's code
constexpr std::int64_t mask_downscale = 4;      // of the network that embeds mask prompts
constexpr std::int64_t point_kinds = 4;         // negative, positive, and the two corners of a box

// Indices from 0, in any number.
std::vector<std::int64_t> layer_indices(JsonConfig& json, const std::string& key,
                                        const std::vector<std::int64_t>& fallback) {
  if (!json.has(key) || json.is_null(key)) return fallback;
  std::vector<std::int64_t> indices;
  for (const double value : json.numbers(key, {})) {
    if (value < 0 || value != std::floor(value)) {
      json.problem(key, "must hold layer numbers from 0");
      return fallback;
    }
    indices.push_back(static_cast<std::int64_t>(value));
  }
  return indices;
}

SamVisionConfig read_vision(JsonConfig json) {
  SamVisionConfig config;
  config.hidden_size = json.integer("hidden_size", 768);
  config.layers = json.integer("num_hidden_layers", 12);
  config.heads = json.integer("num_attention_heads", 12);
  const double ratio = json.number("mlp_ratio", 4.0);
  config.mlp_dim =
      json.integer("mlp_dim", static_cast<std::int64_t>(static_cast<double>(config.hidden_size) * ratio));
  config.output_channels = json.integer("output_channels", 256);
  config.image_size = json.integer("image_size", 1024);
  config.patch_size = json.integer("patch_size", 16);
  config.window_size = json.has("window_size") ? json.integer("window_size", 0) : 14;
  config.global_layers = layer_indices(json, "global_attn_indexes", {2, 5, 8, 11});
  config.qkv_bias = json.boolean("qkv_bias", true);
  config.absolute_positions = json.boolean("use_abs_pos", true);
  config.relative_positions = json.boolean("use_rel_pos", true);
  config.norm_epsilon = json.number("layer_norm_eps", 1e-6);
  json.expect_integer("num_channels", 3);
  json.expect_text("hidden_act", "gelu");
  if (config.hidden_size % config.heads != 0)
    json.problem("num_attention_heads", "does not divide hidden_size");
  if (config.image_size % config.patch_size != 0) json.problem("patch_size", "does not divide image_size");
  if (config.window_size < 0) json.problem("window_size", "must not be negative");
  return config;
}

SamPromptConfig read_prompt(JsonConfig json) {
  SamPromptConfig config;
  config.hidden_size = json.integer("hidden_size", 256);
  config.image_size = json.integer("image_size", 1024);
  config.grid = config.image_size / json.integer("patch_size", 16);
  config.mask_channels = json.integer("mask_input_channels", 16);
  config.norm_epsilon = json.number("layer_norm_eps", 1e-6);
  json.expect_integer("num_point_embeddings", point_kinds);
  json.expect_text("hidden_act", "gelu");
  if (config.mask_channels % mask_downscale != 0)
    json.problem("mask_input_channels", "must be a multiple of 4");
  return config;
}

SamDecoderConfig read_decoder(JsonConfig json) {
  SamDecoderConfig config;
  config.hidden_size = json.integer("hidden_size", 256);
  config.mlp_dim = json.integer("mlp_dim", 2048);
  config.layers = json.integer("num_hidden_layers", 2);
  config.heads = json.integer("num_attention_heads", 8);
  config.final_downsample = json.integer("attention_downsample_rate", 2);
  config.multimask_outputs = json.integer("num_multimask_outputs", 3);
  config.iou_head_depth = json.integer("iou_head_depth", 3);
  config.iou_head_width = json.integer("iou_head_hidden_dim", 256);
  config.norm_epsilon = json.number("layer_norm_eps", 1e-6);
  json.expect_text("hidden_act", "relu");
  if (config.iou_head_depth < 2) json.problem("iou_head_depth", "must be at least 2");
  if (config.hidden_size % 8 != 0) json.problem("hidden_size", "must be a multiple of 8");
  for (const auto rate : {std::int64_t{2}, config.final_downsample}) {
    if (config.hidden_size % (rate * config.heads) != 0)
      json.problem("num_attention_heads", "does not divide hidden_size / " + std::to_string(rate));
  }
  return config;
}

// Shapes of tensors by name; what is missing becomes a problem and a 1.
class Shapes {
 public:
  explicit Shapes(const WeightFiles& files) : files_{files} {}
  bool has(const std::string& name) const {
    for (const auto& file : files_.files) {
      if (file.contains(name)) return true;
    }
    return false;
  }
  std::int64_t extent(const std::string& name, std::size_t axis) {
    const auto shape = shape_in(files_, name);
    if (axis < shape.size() && shape[axis] > 0) return shape[axis];
    problems.push_back(
        {has(name) ? "tensor " + name + " has an unexpected shape" : "tensor " + name + " is missing",
         files_.where, "Sizes that a config.json would tell are read from this tensor."});
    return 1;
  }
  // How many of prefix0suffix, prefix1suffix, ... there are.
  std::int64_t count(const std::string& prefix, const std::string& suffix) const {
    std::int64_t n = 0;
    while (has(prefix + std::to_string(n) + suffix)) ++n;
    return n;
  }
  std::vector<Problem> problems;

 private:
  const WeightFiles& files_;
};

SamVisionConfig vision_config_of(Shapes& shapes, bool original) {
  const std::string prefix = original ? "image_encoder." : "vision_encoder.";
  const std::string patch = prefix + (original ? "patch_embed.proj.weight" : "patch_embed.projection.weight");
  const std::string layers = prefix + (original ? "blocks." : "layers.");
  SamVisionConfig config;
  config.hidden_size = shapes.extent(patch, 0);
  config.patch_size = shapes.extent(patch, 2);
  const auto grid = shapes.extent(prefix + "pos_embed", 1);
  config.image_size = grid * config.patch_size;
  config.layers = shapes.count(layers, ".attn.qkv.weight");
  config.qkv_bias = shapes.has(layers + "0.attn.qkv.bias");
  config.heads =
      config.hidden_size / std::min(config.hidden_size, shapes.extent(layers + "0.attn.rel_pos_h", 1));
  config.mlp_dim = shapes.extent(layers + "0.mlp.lin1.weight", 0);
  config.output_channels = shapes.extent(prefix + (original ? "neck.0.weight" : "neck.conv1.weight"), 0);
  config.window_size = 0;
  config.global_layers.clear();
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const auto side = (shapes.extent(layers + std::to_string(i) + ".attn.rel_pos_h", 0) + 1) / 2;
    if (side == grid)
      config.global_layers.push_back(i);
    else
      config.window_size = side;
  }
  return config;
}

TinyVitConfig mobile_config_of(Shapes& shapes, const std::string& prefix, std::int64_t image_size) {
  TinyVitConfig config;
  config.image_size = image_size;
  config.stem_width = shapes.extent(prefix + "patch_embed.seq.0.c.weight", 0);
  config.expanded_width = shapes.extent(prefix + "layers.0.blocks.0.conv1.c.weight", 0);
  config.output_channels = shapes.extent(prefix + "neck.0.weight", 0);
  config.dims = {shapes.extent(prefix + "patch_embed.seq.2.c.weight", 0)};
  config.depths = {shapes.count(prefix + "layers.0.blocks.", ".conv1.c.weight")};
  config.heads = config.windows = config.mlp_dims = {1};
  const auto stages = 1 + shapes.count(prefix + "layers.", ".downsample.conv1.c.weight");
  for (std::int64_t stage = 1; stage < stages; ++stage) {
    const auto layer = prefix + "layers." + std::to_string(stage) + ".blocks.";
    config.dims.push_back(shapes.extent(layer + "0.attn.norm.weight", 0));
    config.depths.push_back(shapes.count(layer, ".attn.norm.weight"));
    config.heads.push_back(shapes.extent(layer + "0.attn.attention_biases", 0));
    const auto offsets = static_cast<double>(shapes.extent(layer + "0.attn.attention_biases", 1));
    config.windows.push_back(std::llround(std::sqrt(offsets)));
    config.mlp_dims.push_back(shapes.extent(layer + "0.mlp.fc1.weight", 0));
  }
  return config;
}

SamDecoderConfig decoder_config_of(Shapes& shapes, bool original) {
  const std::string prefix = "mask_decoder.";
  SamDecoderConfig config;
  config.hidden_size = shapes.extent(prefix + "iou_token.weight", 1);
  config.multimask_outputs = shapes.extent(prefix + "mask_tokens.weight", 0) - 1;
  config.layers = shapes.count(prefix + "transformer.layers.", ".mlp.lin1.weight");
  config.mlp_dim = shapes.extent(prefix + "transformer.layers.0.mlp.lin1.weight", 0);
  const auto inner = shapes.extent(prefix + "transformer.final_attn_token_to_image.q_proj.weight", 0);
  config.final_downsample = config.hidden_size / std::min(inner, config.hidden_size);
  const auto middle = shapes.count(prefix + "iou_prediction_head.layers.", ".weight");
  config.iou_head_depth = original ? middle : middle + 2;
  config.iou_head_width = shapes.extent(
      prefix + (original ? "iou_prediction_head.layers.0.weight" : "iou_prediction_head.proj_in.weight"), 0);
  config.norm_epsilon = original ? original_norm_epsilon : config.norm_epsilon;
  return config;
}

// What the parts must agree about.
std::vector<Problem> misfits(const SamConfig& config, const std::string& where) {
  std::vector<Problem> problems;
  const auto channels = config.mobile ? config.mobile->output_channels : config.vision.output_channels;
  if (config.prompt.image_size != config.image_size() || config.prompt.grid != config.grid())
    problems.push_back({"picture and patch size of image encoder and prompt encoder differ", where, {}});
  if (config.prompt.hidden_size != channels || config.decoder.hidden_size != channels)
    problems.push_back({"widths of image encoder, prompt encoder and mask decoder differ", where, {}});
  return problems;
}

}  // namespace

SamNames sam_names(const WeightFiles& files) {
  SamNames names;
  for (const auto& file : files.files) {
    for (const auto& [name, view] : file.tensors()) {
      names.original = names.original || name.rfind("image_encoder.", 0) == 0;
      names.mobile = names.mobile || name.rfind("image_encoder.patch_embed.seq.", 0) == 0;
    }
  }
  return names;
}

SamConfig read_sam_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  if (const auto type = json.text("model_type", "sam"); type != "sam")
    json.problem("model_type", "this is the configuration of " + type + ", not of sam");
  SamConfig config;
  config.vision = read_vision(json.part("vision_config"));
  config.prompt = read_prompt(json.part("prompt_encoder_config"));
  config.decoder = read_decoder(json.part("mask_decoder_config"));
  const auto features = json.part("vision_config").integer("num_pos_feats", 128);
  if (2 * features != config.prompt.hidden_size)
    json.problem("vision_config.num_pos_feats", "must be half of prompt_encoder_config.hidden_size");
  for (const auto& each : misfits(config, {})) json.problem("vision_config", each.what);
  json.finish();
  return config;
}

SamConfig sam_config_of(const WeightFiles& files, std::int64_t mobile_image_size) {
  Shapes shapes(files);
  const auto names = sam_names(files);
  SamConfig config;
  if (names.mobile)
    config.mobile = mobile_config_of(shapes, "image_encoder.", mobile_image_size);
  else
    config.vision = vision_config_of(shapes, names.original);
  config.decoder = decoder_config_of(shapes, names.original);
  config.prompt.hidden_size = config.decoder.hidden_size;
  config.prompt.image_size = config.image_size();
  config.prompt.grid = config.grid();
  config.prompt.mask_channels = shapes.extent(
      names.original ? "prompt_encoder.mask_downscaling.3.weight" : "prompt_encoder.mask_embed.conv2.weight",
      0);
  auto problems = std::move(shapes.problems);
  if (problems.empty()) problems = misfits(config, files.where);
  if (problems.empty() && config.decoder.hidden_size % (2 * config.decoder.heads) != 0)
    problems.push_back({"the mask decoder's width must be a multiple of 16", files.where, {}});
  if (!problems.empty()) throw DataError(std::move(problems));
  return config;
}

}  // namespace deda::models
