#include "training/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>

namespace deda::training {

at::Tensor smooth_labels(const at::Tensor& labels, double smoothing) {
  const auto classes = labels.size(1);
  if (smoothing == 0.0 || classes < 2) return labels;
  return labels.mul(1.0 - smoothing).add_(smoothing / static_cast<double>(classes - 1));
}

at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  return at::cross_entropy_loss(logits.to(at::kFloat), labels, {}, at::Reduction::Mean);
}

}  // namespace deda::training
