// 8-bit pictures to what the network sees: x/255, less the ImageNet mean, over the ImageNet deviation
// (section 4.1's recipe).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace deda::training {

inline constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> imagenet_deviation{0.229, 0.224, 0.225};

// On the CPU one pass through a table of 3 x 256 values, torchvision's bits exactly; on a GPU one kernel
// x * a + b, within two roundings of them.
class Normaliser {
 public:
  Normaliser(at::Device device, bool channels_last);
  // [B, H, W, 3] uint8 on the device -> [B, 3, H, W] float32, in channels-last order where asked for.
  // ModelError for any other shape.
  at::Tensor operator()(const at::Tensor& pixels) const;

 private:
  at::Device device_;
  bool channels_last_;
  at::Tensor factor_, offset_;  // [1, 3, 1, 1] on the device; undefined on the CPU
};

}  // namespace deda::training
