// How far two tensors lie apart.
#pragma once

#include <ATen/core/Tensor.h>

#include "check.h"

namespace deda::check {

Distance distance(const at::Tensor& found, const at::Tensor& expected);  // DataError where shapes differ

}  // namespace deda::check
