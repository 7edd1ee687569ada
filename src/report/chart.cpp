#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "report/letters.h"
#include "report/page.h"

namespace deda::report {

namespace {

// Okabe and Ito's palette (2008): told apart by colour-blind readers and in print.
constexpr std::array<const char*, 7> palette = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                "#E69F00", "#56B4E9", "#333333"};
// Once the colours are used up they come again in other strokes.
constexpr std::array<const char*, 4> strokes = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\"",
                                                " stroke-dasharray=\"8 3 2 3\""};
constexpr double left = 56, right = 14, title_height = 34, bottom = 46;

struct Axis {
  double low = 0, high = 1, step = 0.2;
};

// Round limits that enclose the data with about five steps of 1, 2 or 5 times a power of ten.
Axis round_axis(double low, double high) {
  if (!(low <= high)) return {};
  if (high - low < 1e-12) {
    low -= 0.5;
    high += 0.5;
  }
  const double raw = (high - low) / 5.0, power = std::pow(10.0, std::floor(std::log10(raw)));
  const double ratio = raw / power;
  const double step = power * (ratio < 1.5 ? 1.0 : ratio < 3.5 ? 2.0 : ratio < 7.5 ? 5.0 : 10.0);
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step};
}

std::string stroke_of(std::size_t name) {
  return fmt::format("stroke=\"{}\"{}", palette[name % palette.size()],
                     strokes[name / palette.size() % strokes.size()]);
}

// One name of the legend: a stroke and the text beside it. Text that is wider than the chart is squeezed into
// it.
struct LegendEntry {
  double x = 0, y = 0, text_width = 0;
  bool squeezed = false;
};
constexpr double swatch_width = 18, legend_gap = 8, legend_row_height = 16;

struct Legend {
  std::vector<LegendEntry> entries;
  double height = 0;  // of the rows below the title
};

// To the right of the title where there is room, else in rows below it.
Legend place_legend(const std::string& title, const std::vector<std::string>& names, double width) {
  constexpr double letter = 6.2, title_letter = 7.4, baseline = 20;
  const double room = width - left - right;
  Legend legend;
  double all = 0;
  for (const std::string& name : names) {
    const double wanted = static_cast<double>(count_letters(name)) * letter, most = room - swatch_width;
    legend.entries.push_back({0, baseline, std::min(wanted, most), wanted > most});
    all += legend.entries.back().text_width + swatch_width + legend_gap;
  }
  const bool beside_title = static_cast<double>(count_letters(title)) * title_letter + all <= room;
  double x = beside_title ? width - right - all : left, y = baseline;
  if (!beside_title && !names.empty()) y += legend_row_height;
  for (LegendEntry& entry : legend.entries) {
    const double entry_width = entry.text_width + swatch_width;
    if (!beside_title && x > left && x + entry_width > width - right) {
      x = left;
      y += legend_row_height;
    }
    entry.x = x;
    entry.y = y;
    x += entry_width + legend_gap;
  }
  legend.height = y - baseline;
  return legend;
}

}  // namespace

std::string render_svg(const Chart& chart, int width, int height) {
  std::vector<std::string> names;
  for (const Series& series : chart.series) {
    if (std::find(names.begin(), names.end(), series.name) == names.end()) names.push_back(series.name);
  }
  const Legend legend = place_legend(chart.title, names, width);
  const double top = title_height + legend.height;
  height += static_cast<int>(legend.height);  // the plot keeps its size
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;
  for (const Series& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      x_low = std::min(x_low, x);
      x_high = std::max(x_high, x);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
  const Axis x_axis = round_axis(x_low, x_high), y_axis = round_axis(y_low, y_high);
  const double plot_width = width - left - right, plot_height = height - top - bottom;
  const auto place_x = [&](double x) {
    return left + (x - x_axis.low) / (x_axis.high - x_axis.low) * plot_width;
  };
  const auto place_y = [&](double y) {
    return top + plot_height - (y - y_axis.low) / (y_axis.high - y_axis.low) * plot_height;
  };

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "role=\"img\" font-family=\"system-ui, sans-serif\" "
      "font-size=\"11\" fill=\"#444\"><rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/><text x=\"{2}\" "
      "y=\"20\" font-size=\"13\" font-weight=\"600\" fill=\"#1b1f24\">{3}</text>\n",
      width, height, left, escape_html(chart.title));
  for (double y = y_axis.low; y <= y_axis.high + 1e-9 * y_axis.step; y += y_axis.step) {
    svg += fmt::format(
        "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e6e8eb\"/><text "
        "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n",
        left, width - right, place_y(y), place_y(y), left - 6, place_y(y) + 4,
        std::abs(y) < 1e-9 * y_axis.step ? 0.0 : y);
  }
  for (double x = x_axis.low; x <= x_axis.high + 1e-9 * x_axis.step; x += x_axis.step) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.4g}</text>\n", place_x(x),
                       height - bottom + 16.0, x);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", left + plot_width / 2,
                     height - 10, escape_html(chart.x_label));
  svg +=
      fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                  top + plot_height / 2, escape_html(chart.y_label));

  bool any = false;
  for (const Series& series : chart.series) {
    const auto name =
        static_cast<std::size_t>(std::find(names.begin(), names.end(), series.name) - names.begin());
    std::string path;
    bool pen_down = false;
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) {
        pen_down = false;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? " L" : " M", place_x(x), place_y(y));
      pen_down = any = true;
    }
    if (!path.empty())
      svg += fmt::format(
          "<path d=\"{}\" fill=\"none\" {} stroke-width=\"1.6\" stroke-linejoin=\"round\" "
          "opacity=\"0.85\"/>\n",
          path, stroke_of(name));
  }
  if (!any)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">no measurements</text>\n",
                       left + plot_width / 2, top + plot_height / 2);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LegendEntry& entry = legend.entries[i];
    const std::string squeeze =
        entry.squeezed
            ? fmt::format(" textLength=\"{:.1f}\" lengthAdjust=\"spacingAndGlyphs\"", entry.text_width)
            : std::string{};
    svg += fmt::format(
        "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.0f}\" y2=\"{:.0f}\" {} stroke-width=\"3\"/><text "
        "x=\"{:.1f}\" y=\"{:.0f}\"{}>{}</text>\n",
        entry.x, entry.x + 14, entry.y - 4, entry.y - 4, stroke_of(i), entry.x + swatch_width, entry.y,
        squeeze, escape_html(names[i]));
  }
  return svg + "</svg>";
}

}  // namespace deda::report
