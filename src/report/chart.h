// Line charts as SVG markup: learning curves, with one colour per method and a thin line per seed.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace deda::report {

struct Series {
  std::string name;  // shown in the legend; series of one name share a colour
  std::vector<std::pair<double, double>>
      points;  // (x, y), any order of magnitude; non-finite points break the line
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
};

// Axes with round ticks, legend, escaped labels. Never fails: no points give an empty frame that says so. A
// legend that does not fit beside the title makes the picture higher by its rows.
std::string render_svg(const Chart& chart, int width = 520, int height = 320);

}  // namespace deda::report
