#include "report/bar_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart_parts.h"
#include "report/letters.h"
#include "report/page.h"

namespace deda::report {

using namespace chart_layout;

namespace {

constexpr double category_share = 0.8;   // of its room that the bars of a category take
constexpr double most_bar_width = 46;    // pixels
constexpr double number_letter = 6.0;    // pixels per letter of the numbers on bars
constexpr double category_letter = 6.4;  // and of the categories' names
constexpr int number_size = 10;
constexpr double category_row_height = 14;
constexpr std::size_t most_category_lines = 4;

bool is_number(const std::optional<double>& value) {
  return value && std::isfinite(*value);
}

double highest(const BarChart& chart) {
  double high = 0;
  for (const BarSeries& series : chart.series) {
    for (const Bar& bar : series.bars) {
      for (const auto& value : {bar.value, bar.high, bar.reference}) {
        if (is_number(value)) high = std::max(high, *value);
      }
    }
  }
  return high;
}

// At the foot of the bar, where neither whiskers nor dashes are: white on a bar that is long enough, upright
// where it is too narrow.
std::string number_svg(const std::string& text, double x, double foot, double width, double height) {
  const double length = static_cast<double>(count_letters(text)) * number_letter;
  const bool fits = length <= width;
  const bool is_inside = height > (fits ? number_size : length) + 6;
  const std::string how =
      fmt::format(" font-size=\"{}\" fill=\"{}\"", number_size, is_inside ? "#fff" : "#444");
  const double y = foot - 5 - (is_inside ? 0 : height);
  if (fits) return text_at(x, y, std::string{middle} + how, text);
  return fmt::format("<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\"{}>{}</text>\n", x + 3.5, y,
                     how, escape_html(text));
}

}  // namespace

std::string render_svg(const BarChart& chart, int width, int height) {
  std::vector<std::string> names;
  for (const BarSeries& series : chart.series) names.push_back(series.name);
  const bool has_legend = names.size() > 1 || (names.size() == 1 && !names.front().empty());
  const auto title = title_lines(chart.title, width);
  const double below_title = title_height(title);
  const Legend legend = has_legend ? place_legend(names, below_title + 6, width) : Legend{};
  const double room =
      (width - left - right) / static_cast<double>(std::max<std::size_t>(chart.categories.size(), 1));
  std::vector<std::vector<std::string>> categories;
  std::size_t category_lines = 1;
  for (const std::string& category : chart.categories) {
    categories.push_back(wrapped(category, static_cast<std::size_t>(std::max(room / category_letter, 1.0))));
    if (categories.back().size() > most_category_lines) categories.back().resize(most_category_lines);
    category_lines = std::max(category_lines, categories.back().size());
  }
  const double below = bottom - 20 + category_row_height * static_cast<double>(category_lines - 1);
  const double top = below_title + 6 + legend.height + plot_gap;
  height += static_cast<int>(legend.height + below_title - title_baseline + below - bottom);
  const double plot_height = height - top - below;
  const double high = highest(chart);
  const RoundAxis axis = round_axis(0, high > 0 ? high : 1);
  const auto place_y = [&](double y) { return top + plot_height * (1 - y / axis.high); };

  std::string svg = begin_svg(width, height,
                              fmt::format("{}: {} of {}.", chart.title, chart.y_label,
                                          chart.categories.empty() ? "nothing" : few_of(chart.categories))) +
                    title_svg(title) + grid_lines(axis, width, place_y) +
                    y_label_svg(top + plot_height / 2, chart.y_label);
  const auto count = static_cast<double>(std::max<std::size_t>(chart.series.size(), 1));
  const double bar_width = std::min(room * category_share / count, most_bar_width);
  bool any = false;
  for (std::size_t c = 0; c < chart.categories.size(); ++c) {
    const double centre = left + room * (static_cast<double>(c) + 0.5);
    for (std::size_t line = 0; line < categories[c].size(); ++line)
      svg += text_at(centre, height - below + 16 + category_row_height * static_cast<double>(line), middle,
                     categories[c][line]);
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      if (c >= chart.series[s].bars.size()) continue;
      const Bar& bar = chart.series[s].bars[c];
      const double x = centre + (static_cast<double>(s) - count / 2) * bar_width,
                   bar_middle = x + bar_width / 2;
      const char* colour = palette[s % palette.size()];
      if (is_number(bar.value)) {
        any = true;
        svg += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\" "
            "opacity=\"0.85\"/>\n",
            x + 1, place_y(*bar.value), std::max(bar_width - 2, 1.0), place_y(0) - place_y(*bar.value),
            colour);
        if (is_number(bar.low) && is_number(bar.high))
          svg += fmt::format(
              "<path d=\"M{0:.1f} {1:.1f} V{2:.1f} M{3:.1f} {1:.1f} H{4:.1f} M{3:.1f} {2:.1f} H{4:.1f}\" "
              "stroke=\"#1b1f24\" fill=\"none\"/>\n",
              bar_middle, place_y(std::max(*bar.low, 0.0)), place_y(*bar.high), bar_middle - 3,
              bar_middle + 3);
      }
      if (is_number(bar.reference)) {
        any = true;
        svg += fmt::format(
            "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#1b1f24\" "
            "stroke-width=\"2\" stroke-dasharray=\"4 2\"/>\n",
            x, x + bar_width, place_y(*bar.reference), place_y(*bar.reference));
      }
      if (is_number(bar.value))
        svg += number_svg(fmt::format("{:.1f}", *bar.value), bar_middle, place_y(0), bar_width,
                          place_y(0) - place_y(*bar.value));
      else if (!bar.missing.empty())
        svg += number_svg(bar.missing, bar_middle, place_y(0), bar_width, 0);
    }
  }
  if (!any)
    svg += text_at(left + (width - left - right) / 2, top + plot_height / 2, middle, "no measurements");
  for (std::size_t i = 0; i < legend.entries.size(); ++i) {
    const LegendEntry& entry = legend.entries[i];
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"9\" fill=\"{}\" opacity=\"0.85\"/>\n",
        entry.x, entry.y - 9, swatch_width - 8, palette[i % palette.size()]);
    for (std::size_t line = 0; line < entry.lines.size(); ++line)
      svg += text_at(entry.x + swatch_width, entry.y + legend_row_height * static_cast<double>(line), "",
                     entry.lines[line]);
  }
  return svg + "</svg>";
}

}  // namespace deda::report
