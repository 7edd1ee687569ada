// PyTorch's SGD exactly: g += decay * p; v = momentum * v + g; Nesterov: p -= lr * (g + momentum * v), else p
// -= lr * v. One group: the decay covers batch norm and biases too, as the recipe does. The rate multiplies
// after the momentum, so that a drop acts at once on what has gathered. One fused kernel over all tensors per
// step.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
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
  // Uses the parameters' grad(); ModelError when one has none. `overflow`: a float32 scalar on the
  // parameters' device; where it is 1 nothing is changed (GradientScaler).
  void step(double learning_rate, const std::optional<at::Tensor>& overflow = {});
  // The same with the rate in a float32 scalar on the parameters' device, for recorded steps. On a GPU both
  // give equal bytes: step() rounds the rate to float32 there.
  void step(const at::Tensor& learning_rate, const std::optional<at::Tensor>& overflow = {});
  // In the order of the parameters, for checkpoints.
  const std::vector<at::Tensor>& momentum_buffers() const { return momentum_; }

 private:
  std::vector<at::Tensor> gradients_in_order() const;
  at::TensorList momentum_list() const {
    return options_.momentum != 0.0 ? at::TensorList(momentum_) : at::TensorList();
  }

  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> momentum_;
  SgdOptions options_;
};

}  // namespace deda::training
