// Weights of one part of a model: one safetensors file, a half-precision variant, or shards with an index, as
// diffusers and transformers lay them out; copied tensor by tensor into a network on up to eight threads, so
// that a model of ten gigabytes needs its own size and a few tensors.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/formats/safetensors.h"

namespace deda::models {

struct WeightFiles {
  std::vector<io::SafetensorsFile> files;
  std::string where;  // the folder or file, for errors
};

// The files of weight_paths(), opened. DataError lists what is missing or broken.
WeightFiles open_weight_files(const std::filesystem::path& folder_or_file, const std::string& stem);

// As load_weight_files() below, where one tensor of a file may hold several of the network's, one behind the
// other along the first axis (packed query, key and value); no names pass it over.
using Spread = std::function<std::vector<std::string>(const std::string&)>;
void load_packed_weight_files(torch::nn::Module& network, const WeightFiles& files, const Spread& spread);

// From a file's tensor name to the network's; "" passes the tensor over (buffers that are computed).
using Rename = std::function<std::string(const std::string&)>;

// Fills every parameter and buffer. Missing, unused, misshapen and doubled tensors, and numbers that the
// network's type cannot hold (fp16 overflow), are all listed in one DataError. 1x1 kernels [C, C, 1, 1] fill
// linear layers [C, C].
void load_weight_files(torch::nn::Module& network, const WeightFiles& files, const Rename& rename = {});

// Makes every parameter and buffer of floating point one of `type`, one after the other. DataError lists the
// tensors whose numbers the type cannot hold; `where` names them.
void convert_weights(torch::nn::Module& network, at::ScalarType type, const std::string& where);

// The shape of a tensor of the files under its own name; empty where there is none.
std::vector<std::int64_t> shape_in(const WeightFiles& files, const std::string& name);

}  // namespace deda::models
