// Files of torch.save (.pt, .bin): a ZIP archive of one pickle and the raw numbers. Why: most embeddings that
// people share are such files. The pickle is read as data only: dictionaries, lists, texts, numbers and
// tensors. Whatever else it names is refused and nothing is ever called, so that a file cannot do anything.
// Small files (embeddings), read whole; networks come as safetensors. Source: the Python library's
// pickletools, torch/serialization.py, PKWARE's APPNOTE 6.3. No Torch here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/formats/safetensors.h"

namespace deda::io {

struct ArchivedTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // row-major
  TensorView view() const { return {dtype, shape, bytes}; }
};

// What the file holds, by path: {"a": {"b": tensor}} is "a/b"; list elements are numbered.
struct TorchArchive {
  std::map<std::string, ArchivedTensor> tensors;
  std::map<std::string, std::string> texts;  // texts and numbers
};

// True for a file that begins as a ZIP archive; false for one that cannot be opened.
bool is_torch_archive(const std::filesystem::path& path);

// DataError: no such archive (files older than torch 1.6 are named as such), damaged, larger than 64 MiB,
// another byte order, or holding what is no data.
TorchArchive read_torch_archive(const std::filesystem::path& path);

}  // namespace deda::io
