#include "training/mixing/picture_saliency.h"

#include <ATen/ATen.h>

#include <limits>

namespace deda::training {

at::Tensor magnitudes(const at::Tensor& gradients) {
  if (gradients.size(0) == 0)
    return at::empty({0, gradients.size(2), gradients.size(3)}, gradients.options());
  const auto largest = gradients.abs().amax({1, 2, 3}, true);
  return (gradients / largest.clamp_min(std::numeric_limits<float>::min())).square().mean(1).sqrt();
}

at::Tensor averages_over(const at::Tensor& maps, std::int64_t cells) {
  const auto height = maps.size(1) / cells, width = maps.size(2) / cells;
  if (maps.size(0) == 0) return at::empty({0, cells, cells}, maps.options());
  return at::avg_pool2d(maps.unsqueeze(1), {height, width}).squeeze(1);
}

at::Tensor shares_of_cells(const at::Tensor& maps) {
  const auto sums = maps.sum({1, 2}, true);
  const auto cells = static_cast<double>(maps.size(1) * maps.size(2));
  return at::where(sums == 0, at::full_like(maps, 1.0 / cells), maps / sums);
}

}  // namespace deda::training
