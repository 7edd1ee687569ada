#include "training/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
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

at::Tensor masked_binary_cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  const auto counts = labels.ge(0).to(at::kFloat);
  const auto sum = at::binary_cross_entropy_with_logits(logits.to(at::kFloat), labels.clamp_min(0), counts,
                                                        {}, at::Reduction::Sum);
  return sum / counts.sum().clamp_min(1);
}

}  // namespace deda::training
