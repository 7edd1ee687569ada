// How objectives and their scores are called in files and by reports. No Torch.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "training/config.h"

namespace deda::training {

constexpr std::string_view name_of(ObjectiveChoice objective) {
  return objective == ObjectiveChoice::multi_label ? "multi_label" : "single_label";
}
// Of the share of pictures that GroupScore counts.
constexpr std::string_view score_title(ObjectiveChoice objective) {
  return objective == ObjectiveChoice::multi_label ? "exact match" : "top-1 accuracy";
}
// Metric::name of what multi_label adds, in the order of reports.
inline constexpr std::array<std::string_view, 4> multi_label_metric_names{"mAP", "mAP 11-point", "F1 micro",
                                                                          "F1 macro"};

// Those of an objective; empty of single_label.
constexpr std::span<const std::string_view> metric_names_of(ObjectiveChoice objective) {
  if (objective == ObjectiveChoice::multi_label) return multi_label_metric_names;
  return {};
}

}  // namespace deda::training
