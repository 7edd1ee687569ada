// SAM's image encoder: a ViT with windowed and global layers and decomposed relative positions, under
// transformers' names (prefix vision_encoder.). Source: transformers models/sam/modeling_sam.py,
// SamVisionEncoder; paper: Kirillov et al. 2023, section A; relative positions: Li et al. 2022 (MViTv2), 4.1.
#pragma once

#include "models/sam_config.h"
#include "models/sam_layers.h"

namespace deda::models {

// softmax(q k' / sqrt(d) + q . Rh + q . Rw) v on a grid of side x side places: the logit of places (y, x) and
// (y', x') has q . rel_height[y - y' + side - 1] and q . rel_width[x - x' + side - 1] added, q not scaled.
//   query, key, value [B, heads, side * side, d]; tables [2 * side - 1, d] -> [B, heads, side * side, d]
// The added numbers are made for as many windows, or rows of the grid, at a time as fit into `bias_budget`
// bytes (one row at least), so that memory is bounded: whole, a global layer of ViT-H needs 1.07 GB.
at::Tensor attend_with_positions(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& rel_height, const at::Tensor& rel_width, std::int64_t side,
                                 std::int64_t bias_budget);

class SamImageEncoder : public SamEncoder {
 public:
  explicit SamImageEncoder(const SamVisionConfig& config);
  ~SamImageEncoder() override;
  at::Tensor forward(const at::Tensor& pixel_values) const override;

 private:
  class Layer;
  std::shared_ptr<Convolution> patch_embed_;
  at::Tensor pos_embed_;
  std::shared_ptr<List<Layer>> layers_;
  std::shared_ptr<SamNeck> neck_;
};

}  // namespace deda::models
