// PyTorch's SGD exactly: g += decay * p; v = momentum * v + g; Nesterov: p -= lr * (g + momentum * v), else p
// -= lr * v. One group: the decay covers batch norm and biases too, as the recipe does. The rate multiplies
// after the momentum, so that a drop acts at once on what has gathered. One fused kernel over all tensors per
// step.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace deda::training {

struct SgdOptions {
  double momentum = 0.9;
  double weight_decay = 5e-4;
  bool nesterov = true;
};

class Sgd {
 public:
  // The tensors are updated in place; momentum buffers start at zero (the first step then gives v = g, as
  // PyTorch's).
  Sgd(std::vector<at::Tensor> parameters, SgdOptions options);
  // Uses the parameters' grad(); ModelError when one has none.
  void step(double learning_rate);
  // In the order of the parameters, for checkpoints.
  const std::vector<at::Tensor>& momentum_buffers() const { return momentum_; }

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> momentum_;
  SgdOptions options_;
};

}  // namespace deda::training
