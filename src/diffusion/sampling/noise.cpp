#include "diffusion/sampling/noise.h"

#include <ATen/ATen.h>

namespace deda::diffusion {

at::Tensor normal_tensor(at::IntArrayRef shape, RandomStream stream) {
  auto values = at::empty(shape, at::kFloat);
  float* data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = static_cast<float>(stream.normal());
  return values;
}

}  // namespace deda::diffusion
