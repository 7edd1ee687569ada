// The weights, inputs and configurations of tests/golden/grounding_dino.py, and whole folders made of them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/files.h"
#include "models/grounding_dino/grounding_dino.h"
#include "models/made_up_weights.h"

namespace deda::test {

inline const nlohmann::json& grounding_dino_golden() {
  static const auto json =
      nlohmann::json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/grounding_dino.json"));
  return json;
}

// By published name, numbered in the order of sorted names.
inline models::NamedTensors made_up_grounding_dino(const models::GroundingDinoConfig& config) {
  const models::GroundingDino network(config);
  models::NamedTensors tensors;
  std::uint64_t index = 0;
  for (const auto& [name, tensor] : models::state_of(network)) {
    const bool is_weight = name.size() > 6 && name.compare(name.size() - 6, 6, "weight") == 0;
    double fan_in = 1;
    for (std::int64_t i = 1; i < tensor.dim(); ++i) fan_in *= static_cast<double>(tensor.size(i));
    const double bound = 1.5 / std::sqrt(fan_in);
    if (tensor.dim() > 1) {
      tensors[name] = made_up(index++, tensor.sizes(), -bound, bound);
    } else {
      tensors[name] = is_weight ? made_up(index++, tensor.sizes(), 0.8, 1.2)
                                : made_up(index++, tensor.sizes(), -0.1, 0.1);
    }
  }
  return tensors;
}

// config.json as transformers wrote it.
inline models::GroundingDinoConfig write_grounding_dino_config(const std::filesystem::path& folder,
                                                               const std::string& name) {
  std::filesystem::create_directories(folder);
  write_atomically(folder / "config.json", grounding_dino_golden().at(name).at("config").dump());
  return models::read_grounding_dino_config(folder / "config.json");
}

// A folder that the network can be loaded from.
inline models::GroundingDinoConfig write_grounding_dino(const std::filesystem::path& folder,
                                                        const std::string& name) {
  const auto config = write_grounding_dino_config(folder, name);
  models::write_tensors(folder / "model.safetensors", made_up_grounding_dino(config));
  return config;
}

// Vocabulary of 1,040 tokens, those of BERT that matter at their places: [PAD] 0, a bird wing cat 5..8.
inline void write_small_vocabulary(const std::filesystem::path& file) {
  std::string text;
  for (int id = 0; id < 1040; ++id) {
    const std::map<int, std::string> named{{0, "[PAD]"},    {5, "a"},       {6, "bird"},    {7, "##wing"},
                                           {8, "cat"},      {100, "[UNK]"}, {101, "[CLS]"}, {102, "[SEP]"},
                                           {103, "[MASK]"}, {1012, "."},    {1029, "?"}};
    const auto found = named.find(id);
    text += (found != named.end() ? found->second : "[unused" + std::to_string(id) + "]") + "\n";
  }
  write_atomically(file, text);
}

}  // namespace deda::test
