// Multi-scale deformable attention (Zhu et al. 2021, Deformable DETR) through grid_sample: every query reads
// a few places of every level, bilinearly, zero outside. Exact, and without a kernel of its own; level by
// level, so that one level's samples are in memory at a time. Coordinates, samples and sums are float32
// whatever the weights are.
#pragma once

#include <vector>

#include "models/layers.h"

namespace deda::models {

struct MapSize {
  std::int64_t height = 0, width = 0;
  std::int64_t places() const { return height * width; }
};

// [levels, 2] float32: width and height of every level. The host waits for nothing; once a picture.
at::Tensor extents_of(const std::vector<MapSize>& levels, at::Device device);

// value [B, S, heads, c], S the levels' places end to end; locations [B, Q, heads, levels, points, 2] as (x,
// y), 0..1 over a level's extent; weights [B, Q, heads, levels, points] -> [B, Q, heads * c] in the
// locations' type.
at::Tensor sample_deformably(const at::Tensor& value, const std::vector<MapSize>& levels,
                             const at::Tensor& locations, const at::Tensor& weights);

class DeformableAttention : public torch::nn::Module {
 public:
  DeformableAttention(std::int64_t width, std::int64_t heads, std::int64_t levels, std::int64_t points);
  // query [B, Q, width] with its position added; values [B, S, width]; padding [B, S] bool, true where a
  // place is no part of the picture (undefined: none is); reference [B, Q, levels, 2] points (x, y) or [B, Q,
  // levels, 4] boxes (centre x, centre y, width, height), float32, 0..1 -> [B, Q, width].
  at::Tensor forward(const at::Tensor& query, const at::Tensor& values, const at::Tensor& padding,
                     const at::Tensor& reference, const std::vector<MapSize>& levels,
                     const at::Tensor& extents) const;

 private:
  std::int64_t heads_, levels_, points_;
  std::shared_ptr<Linear> offsets_, weights_, value_, output_;
};

}  // namespace deda::models
