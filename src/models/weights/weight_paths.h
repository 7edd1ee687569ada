// Where the weights of one part of a model lie, as diffusers and transformers lay them out. Opens no weights;
// no Torch.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace deda::models {

// FOLDER/STEM.safetensors, else STEM.fp16.safetensors, else the shards that STEM.safetensors.index.json (or
// .index.fp16.json) names, in name order; with a file instead of a folder, that file. DataError lists what is
// missing or broken; .bin files are named as such.
std::vector<std::filesystem::path> weight_paths(const std::filesystem::path& folder_or_file,
                                                const std::string& stem);

}  // namespace deda::models
