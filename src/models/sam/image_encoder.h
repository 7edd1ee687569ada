// SAM's image encoder: a ViT with windowed and global layers and decomposed relative positions, under
// transformers' names (prefix vision_encoder.). Source: transformers models/sam/modeling_sam.py,
// SamVisionEncoder; paper: Kirillov et al. 2023, section A; relative positions: Li et al. 2022 (MViTv2), 4.1.
#pragma once

#include "models/kept_tensor.h"
#include "models/sam/config.h"
#include "models/sam/layers.h"

namespace deda::models {

// softmax(q k' / sqrt(d) + q . Rh + q . Rw) v on a grid of side x side places: the logit of places (y, x) and
// (y', x') has q . rel_height[y - y' + side - 1] and q . rel_width[x - x' + side - 1] added, q not scaled.
//   query, key, value [B, heads, side * side, d]; tables [2 * side - 1, d] -> [B, heads, side * side, d]
// Two ways to the same numbers up to rounding.
//
// Of a square grid, whatever the weights are.
class GridPlaces {
 public:
  explicit GridPlaces(std::int64_t side);
  std::int64_t side() const { return side_; }
  // [side, side, d]: row (q, k) of the result is row q - k + side - 1 of the table.
  at::Tensor by_distance(const at::Tensor& table) const;
  // [side * side, 2 * side]: 1 at a place's row, and at `side` + its column.
  at::Tensor marks(at::Device device, at::ScalarType type) const { return marks_.on(device, type); }

 private:
  std::int64_t side_;
  KeptTensor distances_, marks_;
};

// As a mask. The added numbers are made for as many rows of the grid, heads and windows at a time as fit into
// `bias_budget` bytes (one row of one head at least), so that memory is bounded: whole, a global layer of
// ViT-H needs 1.07 GB.
at::Tensor attend_with_positions(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& rel_height, const at::Tensor& rel_width,
                                 const GridPlaces& places, std::int64_t bias_budget);

// As further numbers of queries and keys: [q, q . Rh sqrt(d), q . Rw sqrt(d)] times [k, row, column of the
// key as ones among zeros] is q k' + sqrt(d) (q . Rh + q . Rw). Attention without a mask has the fastest
// kernels and never writes the logits; its heads are wider (80 numbers: 112 in a window of 14, 208 on a grid
// of 64).
at::Tensor attend_with_folded_positions(const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, const at::Tensor& rel_height,
                                        const at::Tensor& rel_width, const GridPlaces& places);

// Where positions are folded, of the whole process; only on a GPU in half precision, where kernels without a
// mask are much the faster ones. Returns what held before.
enum class PositionFolding : std::uint8_t { nowhere, global_layers, everywhere };
PositionFolding fold_positions(PositionFolding where);

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
