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
constexpr double left = 58, right = 24, bottom = 48;
constexpr int font_size = 12, title_size = 14;
// Widths of a letter, taken large: a reader's system has another font than ours. Nothing overlaps where they
// are at least the font's mean.
constexpr double letter = 7.0, title_letter = 8.8;
constexpr double title_baseline = 20, title_row_height = 18, legend_row_height = 17;
constexpr double swatch_width = 20, legend_gap = 14, plot_gap = 14;

struct Axis {
  double low = 0, high = 1, step = 0.2;
};

// Round limits that enclose the data with about five steps of 1, 2 or 5 times a power of ten; `whole`: of at
// least 1.
Axis round_axis(double low, double high, bool whole = false) {
  if (!(low <= high)) return {};
  if (high - low < 1e-12) {
    low -= 0.5;
    high += 0.5;
  }
  const double raw = (high - low) / 5.0, power = std::pow(10.0, std::floor(std::log10(raw)));
  const double ratio = raw / power;
  double step = power * (ratio < 1.5 ? 1.0 : ratio < 3.5 ? 2.0 : ratio < 7.5 ? 5.0 : 10.0);
  if (whole) step = std::max(step, 1.0);
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step};
}

std::string stroke_of(std::size_t name) {
  return fmt::format("stroke=\"{}\"{}", palette[name % palette.size()],
                     strokes[name / palette.size() % strokes.size()]);
}

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
Legend place_legend(const std::vector<std::string>& names, double top, double width) {
  const double room = width - left - right;
  const auto most_letters = static_cast<std::size_t>((room - swatch_width) / letter);
  Legend legend;
  double x = left, y = top;
  std::size_t row_lines = 0;
  for (const std::string& name : names) {
    LegendEntry entry{0, 0, wrapped(name, most_letters)};
    std::size_t longest = 0;
    for (const std::string& line : entry.lines) longest = std::max(longest, count_letters(line));
    const double entry_width = swatch_width + static_cast<double>(longest) * letter;
    if (x > left && x + entry_width > width - right) {
      x = left;
      y += legend_row_height * static_cast<double>(row_lines);
      row_lines = 0;
    }
    entry.x = x;
    entry.y = y + legend_row_height - 4;
    x += entry_width + legend_gap;
    row_lines = std::max(row_lines, entry.lines.size());
    legend.entries.push_back(std::move(entry));
  }
  legend.height = y - top + legend_row_height * static_cast<double>(row_lines);
  return legend;
}

constexpr std::string_view middle = " text-anchor=\"middle\"";

std::string text_at(double x, double y, std::string_view attributes, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", x, y, attributes, escape_html(text));
}

// The areas between low and high, one for each stretch of finite points.
template <class PlaceX, class PlaceY>
std::string band_path(const std::vector<BandPoint>& band, const PlaceX& place_x, const PlaceY& place_y) {
  std::string path;
  for (std::size_t begin = 0; begin < band.size();) {
    std::size_t end = begin;
    while (end < band.size() && std::isfinite(band[end].low) && std::isfinite(band[end].high)) ++end;
    for (std::size_t i = begin; i < end; ++i)
      path +=
          fmt::format("{}{:.1f} {:.1f}", i == begin ? " M" : " L", place_x(band[i].x), place_y(band[i].high));
    for (std::size_t i = end; i > begin; --i)
      path += fmt::format(" L{:.1f} {:.1f}", place_x(band[i - 1].x), place_y(band[i - 1].low));
    if (end > begin) path += " Z";
    begin = end + 1;
  }
  return path;
}

// What a reader who sees no picture is told.
std::string spoken(const Chart& chart, const std::vector<std::string>& names) {
  return fmt::format("{}: {} over {}. {}", chart.title, chart.y_label, chart.x_label,
                     names.empty() ? "No measurements." : fmt::format("Lines: {}.", fmt::join(names, "; ")));
}

}  // namespace

std::string render_svg(const Chart& chart, int width, int height) {
  std::vector<std::string> names;
  for (const Series& series : chart.series) {
    if (std::find(names.begin(), names.end(), series.name) == names.end()) names.push_back(series.name);
  }
  const auto title = wrapped(chart.title, static_cast<std::size_t>((width - left - right) / title_letter));
  const double title_height =
      title_baseline - title_row_height + title_row_height * static_cast<double>(title.size());
  const Legend legend = place_legend(names, title_height + 6, width);
  const double top = title_height + 6 + legend.height + plot_gap;
  height += static_cast<int>(legend.height + title_height - title_baseline);  // the plot keeps its size
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;
  for (const Series& series : chart.series) {
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      x_low = std::min(x_low, x);
      x_high = std::max(x_high, x);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
    for (const BandPoint& point : series.band) {
      if (!std::isfinite(point.x) || !std::isfinite(point.low) || !std::isfinite(point.high)) continue;
      x_low = std::min(x_low, point.x);
      x_high = std::max(x_high, point.x);
      y_low = std::min(y_low, point.low);
      y_high = std::max(y_high, point.high);
    }
  }
  const Axis x_axis = round_axis(x_low, x_high, chart.whole_x), y_axis = round_axis(y_low, y_high);
  const double plot_width = width - left - right, plot_height = height - top - bottom;
  const auto place_x = [&](double x) {
    return left + (x - x_axis.low) / (x_axis.high - x_axis.low) * plot_width;
  };
  const auto place_y = [&](double y) {
    return top + plot_height - (y - y_axis.low) / (y_axis.high - y_axis.low) * plot_height;
  };

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "role=\"img\" aria-label=\"{2}\" font-family=\"system-ui, sans-serif\" font-size=\"{3}\" "
      "fill=\"#444\"><rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      width, height, escape_html(spoken(chart, names)), font_size);
  for (std::size_t i = 0; i < title.size(); ++i)
    svg +=
        text_at(left, title_baseline + title_row_height * static_cast<double>(i),
                fmt::format(" font-size=\"{}\" font-weight=\"600\" fill=\"#1b1f24\"", title_size), title[i]);
  for (double y = y_axis.low; y <= y_axis.high + 1e-9 * y_axis.step; y += y_axis.step) {
    svg += fmt::format(
        "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e6e8eb\"/><text "
        "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n",
        left, width - right, place_y(y), place_y(y), left - 6, place_y(y) + 4,
        std::abs(y) < 1e-9 * y_axis.step ? 0.0 : y);
  }
  for (double x = x_axis.low; x <= x_axis.high + 1e-9 * x_axis.step; x += x_axis.step) {
    svg += text_at(place_x(x), height - bottom + 16.0, middle, fmt::format("{:.4g}", x));
  }
  svg += text_at(left + plot_width / 2, height - 10.0, middle, chart.x_label);
  svg +=
      fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                  top + plot_height / 2, escape_html(chart.y_label));

  const auto place_of_name = [&](const Series& series) {
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), series.name) - names.begin());
  };
  for (const Series& series : chart.series) {  // below all lines
    if (const std::string path = band_path(series.band, place_x, place_y); !path.empty())
      svg += fmt::format("<path d=\"{}\" fill=\"{}\" stroke=\"none\" opacity=\"0.16\"/>\n", path,
                         palette[place_of_name(series) % palette.size()]);
  }
  bool any = false;
  for (const Series& series : chart.series) {
    std::string path;
    std::size_t stretch = 0;  // points since the line began
    const auto lift_pen = [&] {
      if (stretch == 1) path += " h0";  // a point alone: a dot, by the round end of the stroke
      stretch = 0;
    };
    for (const auto& [x, y] : series.points) {
      if (!std::isfinite(x) || !std::isfinite(y)) {
        lift_pen();
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", stretch++ > 0 ? " L" : " M", place_x(x), place_y(y));
      any = true;
    }
    lift_pen();
    if (!path.empty())
      svg += fmt::format(
          "<path d=\"{}\" fill=\"none\" {} stroke-width=\"1.8\" stroke-linejoin=\"round\" "
          "stroke-linecap=\"round\" "
          "opacity=\"0.9\"/>\n",
          path, stroke_of(place_of_name(series)));
  }
  if (!any) svg += text_at(left + plot_width / 2, top + plot_height / 2, middle, "no measurements");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LegendEntry& entry = legend.entries[i];
    svg +=
        fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" {} stroke-width=\"3\"/>\n",
                    entry.x, entry.x + swatch_width - 6, entry.y - 4, entry.y - 4, stroke_of(i));
    for (std::size_t line = 0; line < entry.lines.size(); ++line)
      svg += text_at(entry.x + swatch_width, entry.y + legend_row_height * static_cast<double>(line), "",
                     entry.lines[line]);
  }
  return svg + "</svg>";
}

}  // namespace deda::report
