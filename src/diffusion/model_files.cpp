#include "diffusion/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "io/formats/safetensors.h"
#include "models/diffusion/autoencoder_config.h"
#include "models/diffusion/unet_config.h"
#include "models/weights/weight_paths.h"

namespace deda::diffusion {

namespace fs = std::filesystem;

std::vector<LoraChoice> lora_choices(const ModelsConfig& config) {
  std::vector<LoraChoice> choices;
  for (const auto& entry : config.lora) {
    LoraChoice choice{entry};
    if (const auto equals = entry.rfind('='); equals != std::string::npos) {
      const auto number = entry.substr(equals + 1);
      char* end = nullptr;
      const double scale = std::strtod(number.c_str(), &end);
      if (!number.empty() && *end == '\0' && std::isfinite(scale)) choice = {entry.substr(0, equals), scale};
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

bool has_two_text_encoders(const ModelsConfig& config) {
  return fs::exists(config.base / "text_encoder_2") || fs::exists(config.base / "tokenizer_2");
}

fs::path transparent_encoder_file(const ModelsConfig& config) {
  return config.transparent_encoder.empty() ? config.base / "transparent_encoder.safetensors"
                                            : config.transparent_encoder;
}
fs::path transparent_decoder_file(const ModelsConfig& config) {
  return config.transparent_decoder.empty() ? config.base / "transparent_decoder.safetensors"
                                            : config.transparent_decoder;
}

void require_file(const fs::path& file, const char* key) {
  if (!fs::exists(file))
    throw DataError("there is no such file", file.string(),
                    fmt::format("Set {} to LayerDiffuse's file; README, \"Weights\", names it.", key));
}

void require_folder(const ModelsConfig& config) {
  if (!fs::is_directory(config.base))
    throw DataError(
        "there is no model folder", config.base.string(),
        "Set models.base to a folder in diffusers' layout; README, \"Weights\", says how to get one.");
}

std::vector<ModelFile> model_files(const ModelsConfig& config, UNetWeights weights, LatentCodec codec) {
  require_folder(config);
  std::vector<ModelFile> files;
  std::vector<Problem> problems;
  const auto collect = [&](const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  const auto add = [&](std::string role, const fs::path& file) {
    std::error_code error;
    if (!fs::is_regular_file(file, error))
      problems.push_back({"there is no such file", file.string(), "A part of the model is missing."});
    else
      files.push_back({std::move(role), file});
  };
  // Small files beside the others that change results where they are there.
  const auto add_if_there = [&](std::string role, const fs::path& file) {
    std::error_code error;
    if (fs::is_regular_file(file, error)) files.push_back({std::move(role), file});
  };
  std::vector<std::pair<std::string, std::string>> parts{
      {"unet", "diffusion_pytorch_model"}, {"vae", "diffusion_pytorch_model"}, {"text_encoder", "model"}};
  std::vector<std::string> tokenizers{"tokenizer"};
  if (has_two_text_encoders(config)) {
    parts.emplace_back("text_encoder_2", "model");
    tokenizers.emplace_back("tokenizer_2");
  }
  for (const auto& [part, stem] : parts) {
    add(part + "/config", config.base / part / "config.json");
    collect([&, part = part, stem = stem] {
      int number = 0;
      for (const auto& file : models::weight_paths(config.base / part, stem))
        add(fmt::format("{}/weights {}", part, number++), file);
    });
  }
  for (const auto& tokenizer : tokenizers) {
    add(tokenizer + "/vocabulary", config.base / tokenizer / "vocab.json");
    add(tokenizer + "/merges", config.base / tokenizer / "merges.txt");
    add_if_there(tokenizer + "/special tokens", config.base / tokenizer / "special_tokens_map.json");
    add_if_there(tokenizer + "/config", config.base / tokenizer / "tokenizer_config.json");
  }
  if (has_two_text_encoders(config)) add_if_there("index", config.base / "model_index.json");
  add("scheduler", config.base / "scheduler" / "scheduler_config.json");
  const auto add_named = [&](std::string role, const fs::path& file, const char* key) {
    collect([&] {
      require_file(file, key);
      add(std::move(role), file);
    });
  };
  if (codec == LatentCodec::transparent) {
    add_named("transparent_encoder", transparent_encoder_file(config), "models.transparent_encoder");
    add_named("transparent_decoder", transparent_decoder_file(config), "models.transparent_decoder");
  }
  int number = 0;
  for (const auto& lora : lora_choices(config)) {
    add_named(fmt::format("lora {} at {}", number, lora.scale), lora.file, "models.lora");
    add_if_there(fmt::format("lora {} adapter", number++), lora.file.parent_path() / "adapter_config.json");
  }
  if (!config.layer_diffuse.empty() && weights == UNetWeights::merged)
    add_named("layer_diffuse", config.layer_diffuse, "models.layer_diffuse");
  if (!problems.empty()) throw DataError(std::move(problems));
  return files;
}

std::string model_identity(const std::vector<ModelFile>& files, FileDigests& digests) {
  std::vector<std::string> contents(files.size());
  parallel_for(usable_cores(), 0, files.size(), 1,
               [&](std::size_t i) { contents[i] = digests.of(files[i].path); });
  std::string text;
  for (std::size_t i = 0; i < files.size(); ++i) text += fmt::format("{}\t{}\n", files[i].role, contents[i]);
  return xxhash128_hex(text);
}

std::string model_identity(const ModelsConfig& config, UNetWeights weights, LatentCodec codec) {
  FileDigests digests;
  auto identity = model_identity(model_files(config, weights, codec), digests);
  digests.save();
  return identity;
}

std::int64_t model_resolution(const ModelsConfig& config) {
  return models::read_unet_config(config.base / "unet" / "config.json").sample_size *
         models::read_autoencoder_config(config.base / "vae" / "config.json").factor();
}

namespace {

// Levels of a transparent decoder, from the names in its file.
std::int64_t decoder_levels(const fs::path& file) {
  std::set<std::string> levels;
  const std::string prefix = "down_blocks.";
  const io::SafetensorsFile opened(file);
  for (const auto& [name, tensor] : opened.tensors()) {
    if (name.starts_with(prefix))
      levels.insert(name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size()));
  }
  return static_cast<std::int64_t>(levels.size());
}

}  // namespace

std::int64_t resolution_multiple(const ModelsConfig& config, LatentCodec codec) {
  const auto unet = models::read_unet_config(config.base / "unet" / "config.json");
  const auto factor = models::read_autoencoder_config(config.base / "vae" / "config.json").factor();
  const auto halvings = [](std::int64_t levels) {
    return std::int64_t{1} << std::max<std::int64_t>(0, levels - 1);
  };
  const auto of_unet = factor * halvings(static_cast<std::int64_t>(unet.block_out_channels.size()));
  if (codec == LatentCodec::plain) return of_unet;
  return std::max(of_unet, halvings(decoder_levels(transparent_decoder_file(config))));
}

}  // namespace deda::diffusion
