// Line charts as SVG markup: learning curves, with one colour per name and a band where several runs are one
// line.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace deda::report {

// How far the runs behind a line lie apart at one place.
struct BandPoint {
  double x = 0, low = 0, high = 0;
};

struct Series {
  std::string name;  // shown in the legend; series of one name share a colour
  std::vector<std::pair<double, double>>
      points;                        // (x, y), any order of magnitude; non-finite points break the line
  std::vector<BandPoint> band = {};  // shaded in the line's colour; non-finite points break it
  bool reference = false;            // dotted and lighter: somebody else's numbers beside ours of this name
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool whole_x = false;                   // x counts something (epochs, steps): ticks at whole numbers only
  std::vector<std::string> x_names = {};  // x are places 0, 1, ... with these names; empty: numbers
  bool marks = false;                     // a dot at every point: few of them, measured each
};

// Axes with round ticks, legend, escaped labels. Never fails: no points give an empty frame that says so. The
// legend has rows of its own between title and plot, and long names several: they make the picture higher,
// the plot keeps its size.
std::string render_svg(const Chart& chart, int width = 520, int height = 320);

}  // namespace deda::report
