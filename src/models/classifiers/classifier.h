// What every classifier network is: pictures in, logits out, tensors keyed as in torchvision.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

namespace deda::models {

class Classifier : public torch::nn::Module {
 public:
  // [B, 3, H, W] normalised pictures (any memory order) -> [B, classes] logits. Batch norm follows
  // train()/eval().
  virtual torch::Tensor forward(torch::Tensor pictures) = 0;
  // Prefix of the last layer's tensors ("fc"): the part that depends on the number of classes.
  virtual std::string head_name() const = 0;
  virtual std::int64_t classes() const = 0;
};

}  // namespace deda::models
