// Less memory for more time: a stretch of a network whose inner results are not kept for the backward pass
// but computed again there (Chen et al. 2016).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace deda::models {

// Inputs in the order given to recomputed_in_backward -> one tensor. `again`: the pass in the backward pass,
// which must give the same numbers and must not change anything a second time (running statistics). May use
// no tensor that needs a gradient besides its inputs.
using Stretch = std::function<at::Tensor(at::TensorList inputs, bool again)>;

// stretch(inputs, false), of which only the inputs and the result are kept. Gradients reach all inputs,
// parameters among them. The second pass runs under the first one's autocast. Not for second derivatives.
at::Tensor recomputed_in_backward(const std::vector<at::Tensor>& inputs, Stretch stretch);

}  // namespace deda::models
