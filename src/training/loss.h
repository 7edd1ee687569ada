// Cross entropy with soft labels, the dense label smoothing rule, and binary cross entropy of several labels.
#pragma once

#include <ATen/core/Tensor.h>

namespace deda::training {

// q = s/(C-1) + (1-s) * y, not renormalised (Diff-Mix's rule for dense labels, which is not PyTorch's s/C); a
// row may then sum to a little more than 1. labels: [B, C]. One class or s = 0: unchanged.
at::Tensor smooth_labels(const at::Tensor& labels, double smoothing);

// Mean over the batch of -sum_c labels_c * log softmax(logits)_c, computed in float32. Both [B, C].
at::Tensor soft_cross_entropy(const at::Tensor& logits, const at::Tensor& labels);

// Mean of -y log p - (1-y) log(1-p), p = sigmoid(logit), over the entries that count: those whose label is
// not negative. 0 where none counts. Computed in float32. Both [B, C].
at::Tensor masked_binary_cross_entropy(const at::Tensor& logits, const at::Tensor& labels);

}  // namespace deda::training
