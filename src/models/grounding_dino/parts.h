// The layers of GroundingDINO's encoder and decoder, under transformers' names. Source: Liu et al. 2023
// (arXiv 2303.05499, section 3); transformers models/grounding_dino/modeling_grounding_dino.py.
#pragma once

#include <vector>

#include "models/grounding_dino/config.h"
#include "models/grounding_dino/deformable_attention.h"

namespace deda::models {

// The text side of a batch.
struct GroundingDinoText {
  at::Tensor features;   // [B, N, d]
  at::Tensor real;       // [B, N] bool: a token, not padding
  at::Tensor attends;    // [B, N, N] bool: sub-sentences (text_blocks.h)
  at::Tensor positions;  // [B, N] int64
};

// The picture side: the levels' places end to end.
struct GroundingDinoPlaces {
  at::Tensor features;      // [B, S, d]
  at::Tensor position;      // [B, S, d]: sine code and level
  at::Tensor padding;       // [B, S] bool; undefined where no picture is padded
  at::Tensor valid_ratios;  // [B, levels, 2] float32: (width, height) of the picture over the batch's
  std::vector<MapSize> levels;
  at::Tensor extents;       // [levels, 2]: their sizes again, where the features are
  at::Tensor real() const;  // [B, 1, 1, S] as a mask for attention; undefined where no picture is padded
};

// Perceptron with ReLU between its layers, children `layers.0`, `layers.1`, ...
class Perceptron : public torch::nn::Module {
 public:
  Perceptron(std::int64_t in, std::int64_t inner, std::int64_t out, std::int64_t layers);
  at::Tensor forward(at::Tensor x) const;

 private:
  std::shared_ptr<List<Linear>> layers_;
};

// torch.nn.MultiheadAttention with three projections of their own.
class DenseAttention : public torch::nn::Module {
 public:
  DenseAttention(std::int64_t width, std::int64_t heads);
  // mask: bool, broadcasts to [B, heads, Nq, Nk]; undefined: everything is looked at.
  at::Tensor forward(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                     const at::Tensor& mask) const;

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> query_, key_, value_, out_;
};

// Picture and text look at each other, then text at its sub-sentence, then places at places of all levels.
class GroundingDinoEncoderLayer : public torch::nn::Module {
 public:
  explicit GroundingDinoEncoderLayer(const GroundingDinoConfig& config);
  ~GroundingDinoEncoderLayer() override;
  // Replaces the features of both. text_position [B, N, d]; reference [B, S, levels, 2].
  void forward(GroundingDinoPlaces& places, GroundingDinoText& text, const at::Tensor& text_position,
               const at::Tensor& reference) const;

 private:
  class Fusion;
  class TextEnhancer;
  class DeformableLayer;
  std::shared_ptr<Fusion> fusion_;
  std::shared_ptr<TextEnhancer> enhancer_;
  std::shared_ptr<DeformableLayer> deformable_;
};

// Queries look at each other, at the text, and at places around their boxes.
class GroundingDinoDecoderLayer : public torch::nn::Module {
 public:
  explicit GroundingDinoDecoderLayer(const GroundingDinoConfig& config);
  // queries, position [B, Q, d]; boxes [B, Q, levels, 4].
  at::Tensor forward(at::Tensor queries, const at::Tensor& position, const at::Tensor& boxes,
                     const GroundingDinoPlaces& places, const GroundingDinoText& text) const;

 private:
  std::shared_ptr<DenseAttention> self_, text_;
  std::shared_ptr<DeformableAttention> places_;
  std::shared_ptr<LayerNorm> self_norm_, text_norm_, places_norm_, final_norm_;
  std::shared_ptr<Linear> widen_, narrow_;
};

}  // namespace deda::models
