// Tensors as the plain arrays that traces carry.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <string>

#include "decoupling/mask_source.h"
#include "models/weights/tensor_file.h"

namespace deda::decoupling {

inline NamedArray array_of(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kCPU).contiguous();
  NamedArray array{name, models::dtype_of(plain.scalar_type()), plain.sizes().vec(), {}};
  array.bytes.resize(plain.nbytes());
  if (!array.bytes.empty()) std::memcpy(array.bytes.data(), plain.data_ptr(), array.bytes.size());
  return array;
}

}  // namespace deda::decoupling
