#include "models/weights/weight_paths.h"

#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_index_bytes = 64u << 20;

std::vector<fs::path> shards_of(const fs::path& index, std::vector<Problem>& problems) {
  std::set<std::string> names;
  try {
    const auto json = nlohmann::json::parse(read_text(index, most_index_bytes));
    for (const auto& [tensor, file] : json.at("weight_map").items()) names.insert(file.get<std::string>());
  } catch (const nlohmann::json::exception& error) {
    problems.push_back({"is not an index of shards: " + std::string{error.what()}, index.string(), {}});
  }
  std::vector<fs::path> paths;
  for (const auto& name : names) {
    const auto path = index.parent_path() / name;
    if (fs::path(name).filename() != fs::path(name))
      problems.push_back({"names the shard " + name + ", which is no plain file name", index.string(), {}});
    else if (!fs::exists(path))
      problems.push_back({"is missing, but the index names it", path.string(), "Download it again."});
    else
      paths.push_back(path);
  }
  return paths;
}

}  // namespace

std::vector<fs::path> weight_paths(const fs::path& folder_or_file, const std::string& stem) {
  if (!fs::is_directory(folder_or_file)) return {folder_or_file};
  const auto& folder = folder_or_file;
  const fs::path plain = folder / (stem + ".safetensors"), half = folder / (stem + ".fp16.safetensors");
  const fs::path index = folder / (stem + ".safetensors.index.json"),
                 half_index = folder / (stem + ".safetensors.index.fp16.json");
  std::vector<fs::path> paths;
  std::vector<Problem> problems;
  if (fs::exists(plain)) {
    paths = {plain};
  } else if (fs::exists(index)) {
    paths = shards_of(index, problems);
  } else if (fs::exists(half)) {
    paths = {half};
  } else if (fs::exists(half_index)) {
    paths = shards_of(half_index, problems);
  } else if (fs::exists(folder / (stem + ".bin"))) {
    problems.push_back({"holds " + stem + ".bin only", folder.string(),
                        "Download the .safetensors file of the same model: pickled files are not read."});
  } else {
    problems.push_back({"has no " + stem + ".safetensors (nor .fp16.safetensors, nor shards with an index)",
                        folder.string(), "README, \"Weights\", names the files to download."});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return paths;
}

}  // namespace deda::models
