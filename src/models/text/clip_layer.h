// The transformer layer of both of CLIP's towers: norm, attention, norm, feed-forward, each added to what
// came in. Tensor names as transformers' CLIPEncoderLayer (models/clip/modeling_clip.py).
#pragma once

#include "models/layers.h"

namespace deda::models {

struct ClipLayerOptions {
  std::int64_t width = 0, heads = 0, inner = 0;
  double norm_epsilon = 1e-5;
  bool quick_gelu = true;  // x * sigmoid(1.702 x); else the exact GELU
  bool causal = false;     // texts: a position looks at itself and what stands before it
};

class ClipLayer : public torch::nn::Module {
 public:
  explicit ClipLayer(const ClipLayerOptions& options);
  ~ClipLayer() override;
  at::Tensor forward(const at::Tensor& x) const;  // [B, N, width] -> the same
  // The first position alone: all that is read of a picture's last layer. Not for causal layers.
  at::Tensor forward_first(const at::Tensor& x) const;  // [B, N, width] -> [B, 1, width]

 private:
  class Attention;
  class Mlp;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Mlp> mlp_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
};

}  // namespace deda::models
