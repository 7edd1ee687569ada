// Blocks that UNet, autoencoder and transparent decoder share, under diffusers' tensor names. All tensors are
// [B, C, H, W] unless said; `groups` and `epsilon` are those of the group norms.
#pragma once

#include <optional>

#include "models/layers.h"

namespace deda::models {

// norm1, conv1, (time_emb_proj), norm2, conv2, (conv_shortcut where the width changes).
// diffusers: models/resnet.py, ResnetBlock2D.
class ResnetBlock : public torch::nn::Module {
 public:
  // time_width 0: no time embedding.
  ResnetBlock(std::int64_t in, std::int64_t out, std::int64_t time_width, std::int64_t groups,
              double epsilon);
  // `time` [B, time_width] after SiLU; undefined where there is none.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& time = {}) const;

 private:
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Convolution> conv1_, conv2_, shortcut_;
  std::shared_ptr<Linear> time_projection_;
};

// 3x3, stride 2. The autoencoder pads right and bottom only, the UNets all around.
enum class DownPadding : std::uint8_t { around, right_and_bottom };
class Downsample : public torch::nn::Module {
 public:
  Downsample(std::int64_t channels, DownPadding padding);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  DownPadding padding_;
  std::shared_ptr<Convolution> conv_;
};

// Nearest neighbour to twice the size, or to `height` x `width` where given, then 3x3.
class Upsample : public torch::nn::Module {
 public:
  explicit Upsample(std::int64_t channels);
  at::Tensor forward(const at::Tensor& x, std::int64_t height = 0, std::int64_t width = 0) const;

 private:
  std::shared_ptr<Convolution> conv_;
};

// What is learnt beside a frozen matrix (LoRA): factor * up(down(x)) is added to its product. Without tensors
// nothing is. No parameter of the network: whoever trains it keeps it (lora_layers.h).
struct LowRankBranch {
  at::Tensor down, up;  // [rank, in], [out, rank], float32; multiplied in the type of the products
  double factor = 1;
  at::Tensor added_to(const at::Tensor& product, const at::Tensor& x) const;
};

// to_q, to_k, to_v, to_out.0 as a module: keys of diffusers' Attention.
class AttentionProjections : public torch::nn::Module {
 public:
  AttentionProjections(std::int64_t width, std::int64_t context_width, bool biased_qkv);
  // The products, with what is learnt beside them: [..., in] -> [..., width].
  at::Tensor query(const at::Tensor& x) const;
  at::Tensor key(const at::Tensor& x) const;
  at::Tensor value(const at::Tensor& x) const;
  at::Tensor out(const at::Tensor& x) const;
  std::shared_ptr<Linear> to_q, to_k, to_v;
  std::shared_ptr<List<Linear>> to_out;
  LowRankBranch beside_q, beside_k, beside_v, beside_out;
};

// Self-attention over all positions with its own norm and residual (autoencoder, transparent decoder).
class SpatialAttention : public torch::nn::Module {
 public:
  SpatialAttention(std::int64_t channels, std::int64_t heads, std::int64_t groups, double epsilon);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  std::int64_t heads_;
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> to_q_, to_k_, to_v_;
  std::shared_ptr<List<Linear>> to_out_;
};

}  // namespace deda::models
