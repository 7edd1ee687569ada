#include "study/layout_labels.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace deda::study {
namespace {

bool is_wanted(const std::vector<std::string>& grids, const std::string& name) {
  return grids.empty() || std::find(grids.begin(), grids.end(), name) != grids.end();
}

void add_values(const Axis& axis, std::vector<std::string>& values) {
  for (const AxisValue& value : axis.values) {
    if (std::find(values.begin(), values.end(), value.name) == values.end()) values.push_back(value.name);
  }
}

template <class Use>
void each_own_axis(const Grid& grid, const Use& use) {
  for (const Axis& axis : grid.vary) use(axis);
  for (const Zip& zip : grid.zips) {
    for (const Axis& axis : zip.axes) use(axis);
  }
}

}  // namespace

std::vector<std::string> label_values(const Study& study, const std::vector<std::string>& grids,
                                      const std::string& label) {
  std::vector<std::string> values;
  if (const Axis* axis = study.find_axis(label)) add_values(*axis, values);
  for (const Grid& grid : study.grids) {
    if (!is_wanted(grids, grid.name)) continue;
    each_own_axis(grid, [&](const Axis& axis) {
      if (axis.name == label) add_values(axis, values);
    });
  }
  return values;
}

KnownLabels known_labels(const Study& study, const std::vector<std::string>& grids) {
  KnownLabels known;
  const auto add = [&](const std::string& label) {
    if (known.count(label) == 0) known[label] = label_values(study, grids, label);
  };
  for (const Grid& grid : study.grids) {
    if (!is_wanted(grids, grid.name)) continue;
    for (const std::string& axis : grid.axes) add(axis);
    for (const auto& [axis, value] : grid.fix) add(axis);
    each_own_axis(grid, [&](const Axis& axis) { add(axis.name); });
  }
  return known;
}

std::vector<const CellRun*> runs_of(const std::vector<CellRun>& runs, const std::vector<std::string>& grids) {
  std::vector<const CellRun*> chosen;
  for (const CellRun& run : runs) {
    if (is_wanted(grids, run.grid)) chosen.push_back(&run);
  }
  std::sort(chosen.begin(), chosen.end(), [](const CellRun* a, const CellRun* b) {
    return std::tie(a->labels, a->grid, a->seed, a->key) < std::tie(b->labels, b->grid, b->seed, b->key);
  });
  return chosen;
}

std::vector<std::string> values_in(const std::vector<const CellRun*>& runs, const std::string& label,
                                   const std::vector<std::string>& order) {
  std::set<std::string> present;
  for (const CellRun* run : runs) present.insert(label_of(*run, label));
  std::vector<std::string> values;
  for (const std::string& value : order) {
    if (present.erase(value) > 0) values.push_back(value);
  }
  values.insert(values.end(), present.begin(), present.end());
  return values;
}

Labels common_labels(const std::vector<const CellRun*>& runs) {
  if (runs.empty()) return {};
  Labels common = runs.front()->labels;
  for (const CellRun* run : runs) {
    std::erase_if(common, [&](const auto& label) {
      const auto found = run->labels.find(label.first);
      return found == run->labels.end() || found->second != label.second;
    });
  }
  return common;
}

std::string label_of(const CellRun& run, const std::string& label) {
  const auto found = run.labels.find(label);
  return found == run.labels.end() ? std::string{} : found->second;
}

}  // namespace deda::study
