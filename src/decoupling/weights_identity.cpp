#include "decoupling/weights_identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "core/hash.h"

namespace deda::decoupling {

namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t end_bytes = 1u << 20;  // a safetensors header, and the last weights

// Both ends of the file: a header with every name and shape, and numbers that no two trainings share.
std::string hash_of_ends(const fs::path& file, std::uintmax_t size) {
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(static_cast<std::size_t>(std::min(size, end_bytes)), '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (size > end_bytes) {
    const std::size_t first = bytes.size();
    const std::uintmax_t tail = std::min(size - end_bytes, end_bytes);
    bytes.resize(first + static_cast<std::size_t>(tail));
    stream.seekg(-static_cast<std::streamoff>(tail), std::ios::end);
    stream.read(bytes.data() + first, static_cast<std::streamsize>(tail));
  }
  if (!stream) throw DataError("cannot be read", file.string());
  return xxhash128_hex(bytes);
}

// Files that decide what a network computes; others (README, golden tensors, formats not read) may lie
// beside.
bool matters(const fs::path& file) {
  const std::string name = file.filename().string(), suffix = file.extension().string();
  return name != "golden.safetensors" && (suffix == ".safetensors" || suffix == ".json" || suffix == ".txt" ||
                                          suffix == ".pt" || suffix == ".pth");
}

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file() && matters(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
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

std::string weights_identity(const DecoupleConfig& config) {
  if (auto problems = missing_networks(config); !problems.empty()) throw ConfigError(std::move(problems));
  std::string text;
  for (const NeededNetwork& network : needed_networks(config)) {
    for (const fs::path& file : files_of(network.path)) {
      const std::uintmax_t size = fs::file_size(file);
      text +=
          fmt::format("{} {} {} {}\n", network.key, file.filename().string(), size, hash_of_ends(file, size));
    }
  }
  return text;
}

}  // namespace deda::decoupling
