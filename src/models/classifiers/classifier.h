// What every classifier network is: pictures in, logits out, tensors keyed as in torchvision.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "models/classifiers/initial_values.h"

namespace deda::models {

struct ClassifierOptions {
  std::int64_t classes = 1;
  // Of the pictures, in pixels, for networks that have a tensor per place (ViT-B/16); 0: that of the
  // published weights.
  std::int64_t side = 0;
  // DenseNet-121 in training: what goes into the first convolution of each layer is not kept but computed
  // again in the backward pass. Same numbers, less memory, more time.
  bool recompute_concatenations = false;
};

class Classifier : public torch::nn::Module {
 public:
  // [B, 3, H, W] normalised pictures (any memory order) -> [B, classes] logits. Batch norm follows
  // train()/eval(). Sides: classifiers/facts.h; ModelError for others where the network would not notice.
  virtual torch::Tensor forward(torch::Tensor pictures) = 0;
  // The last feature maps [B, channels, h, w], after their ReLU, whose mean over the places is what the last
  // layer takes. Not of networks without such maps (ViT-B/16): undefined.
  virtual torch::Tensor features(torch::Tensor pictures) {
    static_cast<void>(pictures);
    return {};
  }
  // Prefix of the last layer's tensors ("fc"): the part that depends on the number of classes.
  virtual std::string head_name() const = 0;
  virtual std::int64_t classes() const = 0;
  // How training from scratch starts the parameter of that name, by torchvision's rules; nothing where the
  // network has no rule for it.
  virtual std::optional<InitialValues> initial_values(const std::string& name,
                                                      const torch::Tensor& parameter) const {
    static_cast<void>(name), static_cast<void>(parameter);
    return {};
  }
  // A side, in pixels, of pictures that the network takes: the smallest that is no bother.
  virtual std::int64_t small_side() const { return 32; }
};

}  // namespace deda::models
