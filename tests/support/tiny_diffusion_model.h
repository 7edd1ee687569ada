// A whole diffusion model folder of a few hundred kilobytes, with random weights that are a pure function of
// the seed: Stable Diffusion 1.5's layout or SDXL's, with transparent networks, in milliseconds. What it
// draws is noise; that it loads, learns and denoises is real.
#pragma once

#include <ATen/Functions.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/files.h"
#include "diffusion/inversion/training_noise.h"
#include "diffusion/prompts.h"
#include "diffusion/sampling/noise_schedule.h"
#include "models/classifiers/initialise.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/text/clip_text.h"
#include "models/text/clip_tokenizer.h"
#include "models/weights/weights.h"

namespace deda::test {

enum class TinyLayout { sd15, sdxl };

struct TinyModelOptions {
  TinyLayout layout = TinyLayout::sd15;
  std::uint64_t seed = 1;
  std::int64_t sample_size = 8;  // latents a side; 4 pixels each
  // One token each, besides the words of the prompt templates.
  std::vector<std::string> words{"bird", "car", "cat", "dog"};
};

inline constexpr std::int64_t tiny_text_width = 16, tiny_second_text_width = 24;

inline models::UNetConfig tiny_unet_config(const TinyModelOptions& options) {
  models::UNetConfig config;
  config.sample_size = options.sample_size;
  config.block_out_channels = {16, 32};
  config.layers_per_block = 1;
  config.norm_groups = 8;
  config.heads = {2, 4};
  config.depth = {1, 1};
  config.down_attention = {true, false};
  config.up_attention = {false, true};
  config.cross_attention_dim = tiny_text_width;
  if (options.layout == TinyLayout::sdxl) {
    constexpr std::int64_t time_ids = 6;
    config.down_attention = {false, true};
    config.up_attention = {true, false};
    config.depth = {1, 2};
    config.linear_projection = true;
    config.cross_attention_dim = tiny_text_width + tiny_second_text_width;
    config.added_time_width = 8;
    config.added_input_width = tiny_second_text_width + time_ids * config.added_time_width;
  }
  return config;
}

inline models::AutoencoderConfig tiny_autoencoder_config(const TinyModelOptions& options) {
  models::AutoencoderConfig config{.block_out_channels = {8, 8, 16}, .layers_per_block = 1, .norm_groups = 4};
  if (options.layout == TinyLayout::sdxl) {
    config.scaling_factor = 0.13025;
    config.force_upcast = true;
  }
  return config;
}

inline std::vector<std::string> words_of_templates() {
  std::vector<std::string> words;
  for (const auto& text : diffusion::prompt_templates(diffusion::TemplateSet::objects)) {
    for (std::size_t at = 0; at < text.size();) {
      const auto end = std::min(text.find(' ', at), text.size());
      const auto word = text.substr(at, end - at);
      if (word != "{}" && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
      at = end + 1;
    }
  }
  return words;
}

// The padding token of SDXL's second tokenizer.
inline void pad_with_exclamation_mark(const std::filesystem::path& tokenizer) {
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    auto json = nlohmann::json::parse(read_text(tokenizer / name));
    json["pad_token"] = "!";
    write_atomically(tokenizer / name, json.dump(1) + "\n");
  }
}

inline void write_tiny_text_encoder(const std::filesystem::path& folder, const std::string& suffix,
                                    const TinyModelOptions& options, std::uint64_t seed) {
  const auto tokenizer_folder = folder / ("tokenizer" + suffix),
             text_folder = folder / ("text_encoder" + suffix);
  auto words = words_of_templates();
  words.insert(words.end(), options.words.begin(), options.words.end());
  models::write_word_tokenizer(tokenizer_folder, words, models::ClipTextConfig{}.positions);
  if (!suffix.empty()) pad_with_exclamation_mark(tokenizer_folder);
  const auto tokenizer = models::ClipTokenizer::from_folder(tokenizer_folder);
  models::ClipTextConfig config{.vocab_size = tokenizer.vocabulary(),
                                .hidden_size = tiny_text_width,
                                .layers = 2,
                                .heads = 2,
                                .intermediate_size = 32,
                                .eos_token_id = tokenizer.end_id()};
  if (!suffix.empty()) {
    config.hidden_size = config.projection = tiny_second_text_width;
    config.quick_gelu = false;
  }
  models::ClipText network(config);
  models::initialise_diffusion(network, seed);
  make_folder(text_folder);
  models::save_weights(network, text_folder / "model.safetensors", {{"format", "pt"}});
  write_atomically(text_folder / "config.json", models::to_json(config));
}

template <class Network>
void write_tiny_network(const std::filesystem::path& file, Network& network, std::uint64_t seed) {
  models::initialise_diffusion(network, seed);
  make_folder(file.parent_path());
  models::save_weights(network, file, {{"format", "pt"}});
}

inline void write_tiny_diffusion_model(const std::filesystem::path& folder,
                                       const TinyModelOptions& options = {}) {
  const bool sdxl = options.layout == TinyLayout::sdxl;
  constexpr std::uint64_t seeds_per_model = 16;
  auto seed = options.seed * seeds_per_model;
  write_tiny_text_encoder(folder, "", options, seed++);
  if (sdxl) write_tiny_text_encoder(folder, "_2", options, seed++);
  models::UNet unet(tiny_unet_config(options));
  write_tiny_network(folder / "unet" / "diffusion_pytorch_model.safetensors", unet, seed++);
  write_atomically(folder / "unet" / "config.json", models::to_json(unet.config()));
  models::Autoencoder autoencoder(tiny_autoencoder_config(options));
  write_tiny_network(folder / "vae" / "diffusion_pytorch_model.safetensors", autoencoder, seed++);
  write_atomically(folder / "vae" / "config.json", models::to_json(autoencoder.config()));
  models::TransparentEncoder encoder({8, 8, 16}, autoencoder.config().latent_channels);
  write_tiny_network(folder / "transparent_encoder.safetensors", encoder, seed++);
  models::TransparentDecoder decoder({.widths = {8, 8, 16}, .first_attention = 2, .latent_level = 2});
  write_tiny_network(folder / "transparent_decoder.safetensors", decoder, seed++);
  make_folder(folder / "scheduler");
  write_atomically(folder / "scheduler" / "scheduler_config.json",
                   to_json(diffusion::stable_diffusion_schedule()));
  nlohmann::ordered_json index{
      {"_class_name", sdxl ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline"},
      {"scheduler", {"diffusers", "PNDMScheduler"}},
      {"text_encoder", {"transformers", "CLIPTextModel"}},
      {"tokenizer", {"transformers", "CLIPTokenizer"}},
      {"unet", {"diffusers", "UNet2DConditionModel"}},
      {"vae", {"diffusers", "AutoencoderKL"}}};
  if (sdxl) {
    index["text_encoder_2"] = {"transformers", "CLIPTextModelWithProjection"};
    index["tokenizer_2"] = {"transformers", "CLIPTokenizer"};
    index["force_zeros_for_empty_prompt"] = true;
  }
  write_atomically(folder / "model_index.json", index.dump(2) + "\n");
}

// LayerDiffuse's offsets for the attention of such a model's UNet (as ld_diffusers_sdxl_attn has them).
inline void write_tiny_layer_diffuse(const std::filesystem::path& file,
                                     const TinyModelOptions& options = {}) {
  models::UNet unet(tiny_unet_config(options));
  models::initialise_diffusion(unet, options.seed + 1000);
  models::NamedTensors offsets;
  for (const auto& [name, tensor] : models::state_of(unet)) {
    const bool projection =
        name.find(".to_") != std::string::npos && name.find(".weight") != std::string::npos;
    if (projection) offsets.emplace(name, 0.1 * tensor.detach());
  }
  models::write_tensors(file, offsets, {{"format", "pt"}});
}

}  // namespace deda::test
