// Gaussian noise as a pure function of what it is for: the same numbers on any rank, thread and device.
#pragma once

#include <ATen/core/Tensor.h>

#include "core/random.h"

namespace deda::diffusion {

// Standard normal, float32 on the CPU, in the order of the stream.
at::Tensor normal_tensor(at::IntArrayRef shape, RandomStream stream);

}  // namespace deda::diffusion
