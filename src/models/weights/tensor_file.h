// safetensors files as torch tensors: the bridge between io/formats/safetensors.h (bytes) and torch.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>

#include "io/formats/safetensors.h"

namespace deda::models {

using NamedTensors = std::map<std::string, torch::Tensor>;

// A copy on the CPU in the file's own type.
torch::Tensor to_tensor(const io::TensorView& view);
io::DType dtype_of(torch::ScalarType type);  // ModelError for types that safetensors does not have

std::string shape_text(at::IntArrayRef shape);  // "[2, 3]", for messages

// Throws DataError as io::SafetensorsFile does.
NamedTensors read_tensors(const std::filesystem::path& path);
// Any device and memory order; stored in plain (row-major) order. Atomic.
void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::map<std::string, std::string>& metadata = {});

}  // namespace deda::models
