#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "report/chart_parts.h"
#include "report/page.h"

namespace deda::report {

using namespace chart_layout;

namespace {

// Once the colours are used up they come again in other strokes.
constexpr std::array<const char*, 4> strokes = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\"",
                                                " stroke-dasharray=\"8 3 2 3\""};
std::string stroke_of(std::size_t name) {
  return fmt::format("stroke=\"{}\"{}", palette[name % palette.size()],
                     strokes[name / palette.size() % strokes.size()]);
}

// In the colour of the name, thinner to the eye than any of its own strokes.
std::string reference_stroke_of(std::size_t name) {
  return fmt::format("stroke=\"{}\" stroke-dasharray=\"1.5 4\" stroke-opacity=\"0.75\"",
                     palette[name % palette.size()]);
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

// Named places stand half a place from the ends.
RoundAxis x_axis_of(const Chart& chart, double low, double high) {
  if (chart.x_names.empty()) return round_axis(low, high, chart.whole_x);
  return {-0.5, static_cast<double>(chart.x_names.size()) - 0.5, 1};
}

std::vector<std::pair<double, std::string>> ticks_of(const Chart& chart, const RoundAxis& axis) {
  std::vector<std::pair<double, std::string>> ticks;
  for (std::size_t i = 0; i < chart.x_names.size(); ++i)
    ticks.emplace_back(static_cast<double>(i), chart.x_names[i]);
  if (!ticks.empty()) return ticks;
  for (double x = axis.low; x <= axis.high + 1e-9 * axis.step; x += axis.step)
    ticks.emplace_back(x, fmt::format("{:.4g}", x));
  return ticks;
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
  const auto title = title_lines(chart.title, width);
  const double below_title = title_height(title);
  const Legend legend = place_legend(names, below_title + 6, width);
  const double top = below_title + 6 + legend.height + plot_gap;
  height += static_cast<int>(legend.height + below_title - title_baseline);  // the plot keeps its size
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
  const RoundAxis x_axis = x_axis_of(chart, x_low, x_high), y_axis = round_axis(y_low, y_high);
  const double plot_width = width - left - right, plot_height = height - top - bottom;
  const auto place_x = [&](double x) {
    return left + (x - x_axis.low) / (x_axis.high - x_axis.low) * plot_width;
  };
  const auto place_y = [&](double y) {
    return top + plot_height - (y - y_axis.low) / (y_axis.high - y_axis.low) * plot_height;
  };

  std::string svg = begin_svg(width, height, spoken(chart, names)) + title_svg(title);
  svg += grid_lines(y_axis, width, place_y);
  for (const auto& [x, label] : ticks_of(chart, x_axis))
    svg += text_at(place_x(x), height - bottom + 16.0, middle, label);
  svg += text_at(left + plot_width / 2, height - 10.0, middle, chart.x_label);
  svg += y_label_svg(top + plot_height / 2, chart.y_label);

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
    if (chart.marks && !series.reference) {
      for (const auto& [x, y] : series.points) {
        if (std::isfinite(x) && std::isfinite(y))
          svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\"/>\n", place_x(x),
                             place_y(y), palette[place_of_name(series) % palette.size()]);
      }
    }
    if (!path.empty())
      svg += fmt::format(
          "<path d=\"{}\" fill=\"none\" {} stroke-width=\"1.8\" stroke-linejoin=\"round\" "
          "stroke-linecap=\"round\" opacity=\"0.9\"/>\n",
          path,
          series.reference ? reference_stroke_of(place_of_name(series)) : stroke_of(place_of_name(series)));
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
