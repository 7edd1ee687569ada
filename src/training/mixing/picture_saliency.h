// Saliency from the gradient of the loss by the picture, as PuzzleMix, Co-Mixup and Guided-AP take it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deda::training {

// Root of the mean square over the channels of [n, 3, H, W], as a share of each picture's largest value:
// [n, H, W] float32. All methods divide by a sum, so that the factor is of no account; without it the squares
// of small gradients would be 0. A gradient that is nowhere above 0 gives 0, one that is not finite NaN.
at::Tensor magnitudes(const at::Tensor& gradients);
// Averages over cells: [n, H, W] -> [n, cells, cells]; `cells` divides both sides.
at::Tensor averages_over(const at::Tensor& maps, std::int64_t cells);
// Each map divided by its sum; every cell alike where that is 0.
at::Tensor shares_of_cells(const at::Tensor& maps);

}  // namespace deda::training
