// What all charts are made of: colours, round axes, legends, labels. Internal to charts.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace deda::report {

// Okabe and Ito's palette (2008): told apart by colour-blind readers and in print.
inline constexpr std::array<const char*, 7> palette = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                       "#E69F00", "#56B4E9", "#333333"};

// Margins and letters of a chart, in pixels. Widths of a letter are taken large: a reader's system has
// another font than ours. Nothing overlaps where they are at least the font's mean.
namespace chart_layout {
inline constexpr double left = 58, right = 24, bottom = 48;
inline constexpr int font_size = 12, title_size = 14;
inline constexpr double letter = 7.0, title_letter = 8.8;
inline constexpr double title_baseline = 20, title_row_height = 18, legend_row_height = 17;
inline constexpr double swatch_width = 20, legend_gap = 14, plot_gap = 14;
}  // namespace chart_layout

struct RoundAxis {
  double low = 0, high = 1, step = 0.2;
};

// Round limits that enclose the data with about five steps of 1, 2 or 5 times a power of ten; `whole`: of at
// least 1. 0 to 1 where low is not below or at high.
RoundAxis round_axis(double low, double high, bool whole = false);

// One name of the legend: a stroke and beside it the text, in one or several lines.
struct LegendEntry {
  double x = 0, y = 0;  // y: baseline of its first line
  std::vector<std::string> lines;
};

struct Legend {
  std::vector<LegendEntry> entries;
  double height = 0;
};

// Rows below `top`, names side by side as far as there is room.
Legend place_legend(const std::vector<std::string>& names, double top, double width);

// A text element; `attributes` begin with a blank, the text is escaped.
std::string text_at(double x, double y, std::string_view attributes, std::string_view text);
inline constexpr std::string_view middle = " text-anchor=\"middle\"";

// The opening tag on white ground; `spoken`: what a reader who sees no picture is told.
std::string begin_svg(int width, int height, std::string_view spoken);
// Lines of the title, from the top.
std::string title_svg(const std::vector<std::string>& lines);
std::vector<std::string> title_lines(std::string_view title, int width);
double title_height(const std::vector<std::string>& lines);
// Lines and numbers at the steps of a vertical axis.
template <class PlaceY>
std::string grid_lines(const RoundAxis& axis, int width, const PlaceY& place_y);
std::string grid_line(double value, double y, int width);
// Beside the vertical axis, written upwards.
std::string y_label_svg(double middle_y, std::string_view label);

template <class PlaceY>
std::string grid_lines(const RoundAxis& axis, int width, const PlaceY& place_y) {
  constexpr double rounding = 1e-9;
  std::string svg;
  for (double y = axis.low; y <= axis.high + rounding * axis.step; y += axis.step)
    svg += grid_line(y < rounding * axis.step && y > -rounding * axis.step ? 0.0 : y, place_y(y), width);
  return svg;
}

}  // namespace deda::report
