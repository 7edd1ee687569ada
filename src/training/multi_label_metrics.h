// How well several labels per picture are told: mean average precision and F1 (paper figure 5a names no
// metric; all the usual ones are computed). Equal to scikit-learn's. No Torch, no ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace deda::training {

// A class's pictures: score and whether the label is there.
using ScoredLabels = std::vector<std::pair<float, bool>>;

// Area under the precision-recall curve, sum over thresholds of (R_n - R_(n-1)) P_n (scikit-learn's
// average_precision_score). Equal scores are one threshold, so the order of pictures does not matter. Nothing
// without a positive.
std::optional<double> average_precision(ScoredLabels pictures);
// Mean over recalls 0, 0.1, ..., 1 of the highest precision at that recall or beyond (Pascal VOC 2007).
std::optional<double> average_precision_11_point(ScoredLabels pictures);

// 0..1. mAP is the mean over the classes that have a positive; nothing where none has one. F1 is at
// probability 0.5, that is logit 0; micro over all entries together, macro the mean over all classes. An F1
// without positives and predictions is 0.
struct MultiLabelMetrics {
  std::optional<double> mean_average_precision, mean_average_precision_11_point;
  double f1_micro = 0, f1_macro = 0;
  std::int64_t classes_with_positives = 0;
};

// logits and labels [pictures, classes]; labels 1 present, 0 absent, negative: does not count. Logits are
// finite.
MultiLabelMetrics multi_label_metrics(std::span<const float> logits, std::span<const std::int8_t> labels,
                                      std::size_t classes);

// Whether every entry of one picture that counts is told right; nothing where none counts.
std::optional<bool> exact_match(std::span<const float> logits, std::span<const std::int8_t> labels);

}  // namespace deda::training
