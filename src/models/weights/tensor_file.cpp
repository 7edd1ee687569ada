#include "models/weights/tensor_file.h"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"

namespace deda::models {
namespace {

constexpr std::array<std::pair<io::DType, torch::ScalarType>, 10> types{{
    {io::DType::f64, torch::kDouble},
    {io::DType::f32, torch::kFloat},
    {io::DType::f16, torch::kHalf},
    {io::DType::bf16, torch::kBFloat16},
    {io::DType::i64, torch::kLong},
    {io::DType::i32, torch::kInt},
    {io::DType::i16, torch::kShort},
    {io::DType::i8, torch::kChar},
    {io::DType::u8, torch::kByte},
    {io::DType::boolean, torch::kBool},
}};

}  // namespace

torch::Tensor to_tensor(const io::TensorView& view) {
  for (const auto& [file_type, type] : types) {
    if (file_type != view.dtype) continue;
    auto tensor = at::empty(view.shape, type);
    if (!view.bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
    return tensor;
  }
  throw ModelError("no tensor type for safetensors type " + std::string{io::name_of(view.dtype)});
}

io::DType dtype_of(torch::ScalarType type) {
  for (const auto& [file_type, tensor_type] : types) {
    if (tensor_type == type) return file_type;
  }
  throw ModelError(std::string{"safetensors has no type for "} + c10::toString(type));
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

NamedTensors read_tensors(const std::filesystem::path& path) {
  const io::SafetensorsFile file(path);
  NamedTensors tensors;
  for (const auto& [name, view] : file.tensors()) tensors.emplace(name, to_tensor(view));
  return tensors;
}

void write_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<torch::Tensor> kept;  // keeps the copies alive while their bytes are written
  std::vector<io::TensorToWrite> to_write;
  kept.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) {
    kept.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const auto& plain = kept.back();
    const auto* bytes = static_cast<const std::uint8_t*>(plain.const_data_ptr());
    to_write.push_back({name,
                        dtype_of(plain.scalar_type()),
                        plain.sizes().vec(),
                        {bytes, static_cast<std::size_t>(plain.nbytes())}});
  }
  io::write_safetensors(path, to_write, metadata);
}

}  // namespace deda::models
