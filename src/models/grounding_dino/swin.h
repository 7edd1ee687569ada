// Swin transformer as the backbone of GroundingDINO: any picture size, feature maps of the chosen stages.
// Names as published (transformers' SwinBackbone before 5.x: attention.self.query, ...). Source: Liu et al.
// 2021; transformers models/swin/modeling_swin.py, with windows of full size at every resolution.
#pragma once

#include <vector>

#include "models/layers.h"

namespace deda::models {

struct SwinConfig {
  std::int64_t patch_size = 4, channels = 3, embed_dim = 96, window_size = 7;
  std::vector<std::int64_t> depths{2, 2, 6, 2}, heads{3, 6, 12, 24};
  double mlp_ratio = 4.0, norm_epsilon = 1e-5;
  bool qkv_bias = true;
  std::vector<std::int64_t> out_stages{2, 3, 4};  // from 1, rising
  std::int64_t width(std::int64_t stage) const {
    return embed_dim << (stage - 1);
  }  // channels of a stage, from 1
};

class Swin : public torch::nn::Module {
 public:
  explicit Swin(const SwinConfig& config);
  ~Swin() override;
  // [B, 3, H, W] -> one [B, width(stage), H', W'] per out stage; the side of stage s is ceil(H / patch)
  // halved (rounding up) s - 1 times.
  std::vector<at::Tensor> forward(const at::Tensor& pictures) const;

 private:
  class Stage;
  SwinConfig config_;
  std::shared_ptr<Convolution> projection_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<List<Stage>> stages_;
  std::vector<std::shared_ptr<LayerNorm>> out_norms_;
};

}  // namespace deda::models
