// Small layers that SAM's encoders and decoder share; tensor names as torch's.
#pragma once

#include "models/layers.h"

namespace deda::models {

// Norm over the channels of [B, C, H, W], place by place. transformers: SamLayerNorm, channels_first.
class ChannelNorm : public torch::nn::Module {
 public:
  explicit ChannelNorm(std::int64_t channels, double epsilon = 1e-6);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor weight, bias;

 private:
  double epsilon_;
};

// k x k convolution without bias; padding k / 2.
class BareConvolution : public torch::nn::Module {
 public:
  BareConvolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
                  std::int64_t groups = 1);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& bias = {}) const;
  at::Tensor weight;

 private:
  std::int64_t stride_, groups_;
};

// Twice the size: kernel 2, stride 2.
class DoublingConvolution : public torch::nn::Module {
 public:
  DoublingConvolution(std::int64_t in, std::int64_t out);
  at::Tensor forward(const at::Tensor& x) const;  // [B, in, H, W] -> [B, out, 2H, 2W]
  at::Tensor weight, bias;
};

// conv1 (1x1), layer_norm1, conv2 (3x3), layer_norm2: encoder width to decoder width.
class SamNeck : public torch::nn::Module {
 public:
  SamNeck(std::int64_t in, std::int64_t out);
  at::Tensor forward(const at::Tensor& x) const;  // [B, in, h, w] -> [B, out, h, w]

 private:
  std::shared_ptr<BareConvolution> conv1_, conv2_;
  std::shared_ptr<ChannelNorm> layer_norm1_, layer_norm2_;
};

// What stands between pixels and the mask decoder.
class SamEncoder : public torch::nn::Module {
 public:
  // [B, 3, S, S] normalised and padded -> [B, C, S/16, S/16].
  virtual at::Tensor forward(const at::Tensor& pixel_values) const = 0;
};

// [B, H, W, C] cut into side x side windows, zeros right and below: [B * windows, side, side, C], and back.
at::Tensor to_windows(const at::Tensor& x, std::int64_t side);
at::Tensor from_windows(const at::Tensor& windows, std::int64_t height, std::int64_t width);

}  // namespace deda::models
