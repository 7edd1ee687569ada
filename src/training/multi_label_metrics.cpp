#include "training/multi_label_metrics.h"

#include <algorithm>

namespace deda::training {
namespace {

struct CurvePoint {
  double recall = 0, precision = 0;
};

// One point per distinct score, from the highest on; empty without a positive.
std::vector<CurvePoint> curve_of(ScoredLabels& pictures) {
  std::sort(pictures.begin(), pictures.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto positives =
      std::count_if(pictures.begin(), pictures.end(), [](const auto& picture) { return picture.second; });
  std::vector<CurvePoint> curve;
  if (positives == 0) return curve;
  std::int64_t found = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    found += pictures[i].second ? 1 : 0;
    if (i + 1 < pictures.size() && pictures[i + 1].first == pictures[i].first) continue;
    curve.push_back({static_cast<double>(found) / static_cast<double>(positives),
                     static_cast<double>(found) / static_cast<double>(i + 1)});
  }
  return curve;
}

struct LabelCounts {
  std::int64_t both = 0, predicted = 0, present = 0;
  double f1() const {
    return predicted + present == 0
               ? 0.0
               : 2.0 * static_cast<double>(both) / static_cast<double>(predicted + present);
  }
};

bool is_predicted(float logit) {
  return logit > 0.0f;
}

}  // namespace

std::optional<double> average_precision(ScoredLabels pictures) {
  const auto curve = curve_of(pictures);
  if (curve.empty()) return std::nullopt;
  double area = 0, recall = 0;
  for (const CurvePoint& point : curve) {
    area += (point.recall - recall) * point.precision;
    recall = point.recall;
  }
  return area;
}

std::optional<double> average_precision_11_point(ScoredLabels pictures) {
  constexpr int steps = 10;
  constexpr double rounding = 1e-12;  // a recall of 3/10 is at least 0.3
  auto curve = curve_of(pictures);
  if (curve.empty()) return std::nullopt;
  for (std::size_t i = curve.size() - 1; i > 0; --i)
    curve[i - 1].precision = std::max(curve[i - 1].precision, curve[i].precision);
  double sum = 0;
  for (int step = 0; step <= steps; ++step) {
    const double recall = static_cast<double>(step) / steps;
    const auto reached = std::find_if(curve.begin(), curve.end(), [&](const CurvePoint& point) {
      return point.recall >= recall - rounding;
    });
    if (reached != curve.end()) sum += reached->precision;
  }
  return sum / (steps + 1);
}

MultiLabelMetrics multi_label_metrics(std::span<const float> logits, std::span<const std::int8_t> labels,
                                      std::size_t classes) {
  MultiLabelMetrics metrics;
  LabelCounts all;
  double exact = 0, eleven = 0;
  for (std::size_t id = 0; id < classes; ++id) {
    LabelCounts own;
    ScoredLabels pictures;
    for (std::size_t i = id; i < labels.size(); i += classes) {
      if (labels[i] < 0) continue;
      const bool present = labels[i] > 0, predicted = is_predicted(logits[i]);
      pictures.emplace_back(logits[i], present);
      own.both += present && predicted;
      own.predicted += predicted;
      own.present += present;
    }
    all.both += own.both;
    all.predicted += own.predicted;
    all.present += own.present;
    metrics.f1_macro += own.f1() / static_cast<double>(classes);
    if (own.present == 0) continue;
    ++metrics.classes_with_positives;
    exact += *average_precision(pictures);
    eleven += *average_precision_11_point(std::move(pictures));
  }
  metrics.f1_micro = all.f1();
  if (metrics.classes_with_positives > 0) {
    metrics.mean_average_precision = exact / static_cast<double>(metrics.classes_with_positives);
    metrics.mean_average_precision_11_point = eleven / static_cast<double>(metrics.classes_with_positives);
  }
  return metrics;
}

std::optional<bool> exact_match(std::span<const float> logits, std::span<const std::int8_t> labels) {
  bool any = false, right = true;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    any = true;
    right = right && is_predicted(logits[i]) == (labels[i] > 0);
  }
  return any ? std::optional{right} : std::nullopt;
}

}  // namespace deda::training
