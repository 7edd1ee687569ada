#include "report/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "report/statistics.h"

namespace deda::report {

namespace {

// Every measurement of the group, by epoch: one value per run that measured it.
std::map<std::int64_t, std::vector<double>> by_epoch(const CurveGroup& group, const CurveValue& value) {
  std::map<std::int64_t, std::vector<double>> values;
  for (const RunResults* run : group.runs) {
    std::map<std::int64_t, double> own;  // a row that is there twice counts once
    for (const EpochRow& row : run->history) {
      if (const auto measured = value(row)) own[row.epoch] = *measured;
    }
    for (const auto& [epoch, measured] : own) values[epoch].push_back(measured);
  }
  return values;
}

BandPoint band_at(double epoch, const std::vector<double>& values) {
  if (values.size() >= seeds_for_deviation)
    return {epoch, mean(values) - deviation(values), mean(values) + deviation(values)};
  // A value that is no number leaves a gap, as it does in the mean.
  if (std::any_of(values.begin(), values.end(), [](double v) { return !std::isfinite(v); }))
    return {epoch, mean(values), mean(values)};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {epoch, *low, *high};
}

// "2 seeds", "2 or 3 seeds", "2 to 4 seeds".
std::string numbers(const std::set<std::size_t>& counts) {
  const std::size_t least = *counts.begin(), most = *counts.rbegin();
  if (least == most) return fmt::format("{} seeds", least);
  return fmt::format("{} {} {} seeds", least, most == least + 1 ? "or" : "to", most);
}

}  // namespace

Curves draw_curves(const std::vector<CurveGroup>& groups, const CurveValue& value) {
  Curves curves;
  std::set<std::size_t> few, many;
  bool any_alone = false;
  std::int64_t left_out = 0;
  for (const CurveGroup& group : groups) {
    Series series{group.name, {}};
    const std::size_t seeds = group.runs.size();
    for (const auto& [epoch, values] : by_epoch(group, value)) {
      if (values.size() != seeds) {
        ++left_out;
        continue;
      }
      const auto x = static_cast<double>(epoch);
      series.points.emplace_back(x, mean(values));
      if (seeds > 1) series.band.push_back(band_at(x, values));
    }
    if (series.points.empty()) continue;
    if (seeds == 1)
      any_alone = true;
    else
      (seeds < seeds_for_deviation ? few : many).insert(seeds);
    curves.series.push_back(std::move(series));
  }
  std::string& caption = curves.caption;
  const auto add = [&](const std::string& part) { caption += (caption.empty() ? "" : "; ") + part; };
  if (!few.empty()) add(fmt::format("mean of {}, band from the lowest to the highest", numbers(few)));
  if (!many.empty()) add(fmt::format("mean of {}, band of ± one sample standard deviation", numbers(many)));
  if (any_alone) add("lines without a band: one seed");
  if (left_out > 0) add(fmt::format("{} epochs that not every seed measured are left out", left_out));
  return curves;
}

}  // namespace deda::report
