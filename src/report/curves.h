// Learning curves of a comparison: the seeds of one experiment as their mean with a band.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/chart.h"
#include "report/run_results.h"

namespace deda::report {

// From this many seeds on a band is the mean ± sample standard deviation; of fewer, which tell little of a
// deviation, it goes from the lowest to the highest.
inline constexpr std::size_t seeds_for_deviation = 5;

// Runs that make one line.
struct CurveGroup {
  std::string name;
  std::vector<const RunResults*> runs;  // one per seed
};

// What is drawn of an epoch; nothing where it was not measured.
using CurveValue = std::function<std::optional<double>(const EpochRow&)>;

struct Curves {
  std::vector<Series> series;  // of the groups that have any measurement
  std::string caption;         // what lines and bands are, by numbers of seeds; what was left out
};

// Means are taken only at epochs that every run of the group measured; the others are counted in the caption.
Curves draw_curves(const std::vector<CurveGroup>& groups, const CurveValue& value);

}  // namespace deda::report
