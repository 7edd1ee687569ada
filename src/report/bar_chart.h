// Grouped bars as SVG markup: for each category a bar per series, whiskers for the interval and a dash for
// somebody else's number.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace deda::report {

struct Bar {
  std::optional<double> value;      // at least 0; nothing: the place stays empty
  std::optional<double> low, high;  // whiskers, where both are there
  std::optional<double> reference;  // a dash across the bar's place
  std::string missing;              // shown where there is no value: "failed"
};

struct BarSeries {
  std::string name;       // of the legend; one series without a name has no legend
  std::vector<Bar> bars;  // one per category
};

struct BarChart {
  std::string title, y_label;
  std::vector<std::string> categories;
  std::vector<BarSeries> series;
};

// Bars begin at 0, so that their lengths may be compared, and carry their numbers. Labels are escaped. Never
// fails: an empty chart says so. Long labels of categories are broken into lines.
std::string render_svg(const BarChart& chart, int width = 520, int height = 320);

}  // namespace deda::report
