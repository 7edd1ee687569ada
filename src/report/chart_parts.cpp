#include "report/chart_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/letters.h"
#include "report/page.h"

namespace deda::report {

using namespace chart_layout;

RoundAxis round_axis(double low, double high, bool whole) {
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

std::string text_at(double x, double y, std::string_view attributes, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", x, y, attributes, escape_html(text));
}

std::string begin_svg(int width, int height, std::string_view spoken) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "role=\"img\" aria-label=\"{2}\" font-family=\"system-ui, sans-serif\" font-size=\"{3}\" "
      "fill=\"#444\"><rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      width, height, escape_html(spoken), font_size);
}

std::vector<std::string> title_lines(std::string_view title, int width) {
  return wrapped(title, static_cast<std::size_t>((width - left - right) / title_letter));
}

double title_height(const std::vector<std::string>& lines) {
  return title_baseline - title_row_height + title_row_height * static_cast<double>(lines.size());
}

std::string title_svg(const std::vector<std::string>& lines) {
  std::string svg;
  for (std::size_t i = 0; i < lines.size(); ++i)
    svg +=
        text_at(left, title_baseline + title_row_height * static_cast<double>(i),
                fmt::format(" font-size=\"{}\" font-weight=\"600\" fill=\"#1b1f24\"", title_size), lines[i]);
  return svg;
}

std::string grid_line(double value, double y, int width) {
  return fmt::format(
      "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e6e8eb\"/><text "
      "x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n",
      left, width - right, y, y, left - 6, y + 4, value);
}

std::string y_label_svg(double middle_y, std::string_view label) {
  return fmt::format(
      "<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", middle_y,
      escape_html(label));
}

}  // namespace deda::report
