#include "decoupling/needed_networks.h"

#include <algorithm>

namespace deda::decoupling {

namespace fs = std::filesystem;

namespace {

// Files that decide what a network computes; others (README, golden tensors, formats not read) may lie
// beside.
bool matters(const fs::path& file) {
  const std::string name = file.filename().string(), suffix = file.extension().string();
  return name != "golden.safetensors" && (suffix == ".safetensors" || suffix == ".json" || suffix == ".txt");
}

}  // namespace

std::vector<NeededNetwork> needed_networks(const DecoupleConfig& config) {
  const auto uses = [&](std::string_view source) {
    return std::find(config.sources.begin(), config.sources.end(), source) != config.sources.end();
  };
  std::vector<NeededNetwork> needed;
  if (uses("semantic")) needed.push_back({"decouple.deeplab", config.deeplab});
  if (uses("text_box_sam")) needed.push_back({"decouple.grounding_dino", config.grounding_dino});
  if (uses("text_box_sam") || uses("box_sam")) needed.push_back({"decouple.sam", config.sam});
  return needed;
}

std::vector<Problem> missing_networks(const DecoupleConfig& config) {
  std::vector<Problem> problems;
  for (const NeededNetwork& network : needed_networks(config)) {
    if (network.path.empty())
      problems.push_back({"names no folder, but a mask source needs that network", network.key,
                          "README of src/decoupling says where to get it."});
    else if (std::error_code error; !fs::exists(network.path, error))
      problems.push_back({"there is nothing at " + network.path.string(), network.key,
                          "README of src/decoupling says where to get the network."});
  }
  return problems;
}

void require_networks(const DecoupleConfig& config, const std::string& source) {
  DecoupleConfig alone = config;
  alone.sources = {source};
  if (auto problems = missing_networks(alone); !problems.empty()) throw ConfigError(std::move(problems));
}

std::vector<fs::path> files_of(const NeededNetwork& network) {
  const auto& path = network.path;
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && matters(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace deda::decoupling
