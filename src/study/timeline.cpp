#include "study/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <tuple>

#include "report/chart_parts.h"
#include "report/letters.h"
#include "report/page.h"

namespace deda::study {
namespace {

using namespace report::chart_layout;
using report::palette;

constexpr double lane_height = 20, bar_height = 15, axis_room = 44;
constexpr double least_bar = 1;  // pixels: nothing that ran is invisible
constexpr std::size_t most_slot_letters = 24;
constexpr const char* well = "done";

// "gpu 2" before "gpu 10".
bool is_before(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const auto number = [&](const std::string& text, std::size_t& at) {
        const std::size_t begin = std::min(text.find_first_not_of('0', at), text.size());
        at = begin;
        while (at < text.size() && is_digit(text[at])) ++at;
        return text.substr(begin, at - begin);
      };
      const std::string first = number(a, i), second = number(b, j);
      if (first.size() != second.size()) return first.size() < second.size();
      if (first != second) return first < second;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return std::tuple{a.size() - i, a} < std::tuple{b.size() - j, b};
}

struct Unit {
  const char* name;
  double seconds;
};
Unit unit_of(double seconds) {
  constexpr double minute = 60, hour = 3600, most_small = 3;
  if (seconds > most_small * hour) return {"hours", hour};
  if (seconds > most_small * minute) return {"minutes", minute};
  return {"seconds", 1};
}

}  // namespace

std::string timeline_svg(std::vector<TimelineEntry> entries, int width) {
  const std::size_t all = entries.size();
  std::erase_if(entries, [](const TimelineEntry& entry) {
    return !std::isfinite(entry.start_s) || !std::isfinite(entry.end_s) || entry.end_s < entry.start_s;
  });
  const std::size_t left_out = all - entries.size();
  std::sort(entries.begin(), entries.end(), [](const TimelineEntry& a, const TimelineEntry& b) {
    return std::tie(a.start_s, a.end_s, a.slot, a.stage, a.label, a.outcome) <
           std::tie(b.start_s, b.end_s, b.slot, b.stage, b.label, b.outcome);
  });
  std::vector<std::string> slots, stages;
  double end_s = 0, begin_s = entries.empty() ? 0 : entries.front().start_s;
  for (const TimelineEntry& entry : entries) {
    end_s = std::max(end_s, entry.end_s);
    if (std::find(slots.begin(), slots.end(), entry.slot) == slots.end()) slots.push_back(entry.slot);
    if (std::find(stages.begin(), stages.end(), entry.stage) == stages.end()) stages.push_back(entry.stage);
  }
  begin_s = std::min(begin_s, 0.0);
  std::sort(slots.begin(), slots.end(), is_before);
  std::size_t slot_letters = 0;
  for (const std::string& slot : slots) slot_letters = std::max(slot_letters, report::count_letters(slot));
  const double lanes_left = 20 + letter * static_cast<double>(std::min(slot_letters, most_slot_letters)),
               lanes_right = width - right;
  const report::Legend legend = report::place_legend(stages, 4, width);
  const double top = 4 + legend.height + 10;
  const double bottom_y = top + lane_height * static_cast<double>(std::max<std::size_t>(slots.size(), 1));
  const auto height = static_cast<int>(bottom_y + axis_room);
  const Unit unit = unit_of(end_s - begin_s);
  const report::RoundAxis axis =
      report::round_axis(begin_s / unit.seconds, std::max(end_s, begin_s + 1) / unit.seconds);
  const double span = std::max(end_s, begin_s + 1) - begin_s;
  const auto place = [&](double seconds) {
    return lanes_left + (seconds - begin_s) / span * (lanes_right - lanes_left);
  };

  std::string svg =
      report::begin_svg(width, height,
                        fmt::format("Timeline: {} attempts on {} slots in {:.4g} {}.", entries.size(),
                                    slots.size(), (end_s - begin_s) / unit.seconds, unit.name));
  for (double x = axis.low; x * unit.seconds <= end_s + 1e-9 * span; x += axis.step) {
    if (x * unit.seconds < begin_s - 1e-9 * span) continue;
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"#e6e8eb\"/>\n",
        place(x * unit.seconds), top, bottom_y);
    svg += report::text_at(place(x * unit.seconds), bottom_y + 16, report::middle, fmt::format("{:.4g}", x));
  }
  svg += report::text_at((lanes_left + lanes_right) / 2, bottom_y + 34, report::middle,
                         left_out == 0 ? fmt::format("{} since the study began", unit.name)
                                       : fmt::format("{} since the study began; {} without times left out",
                                                     unit.name, left_out));
  for (std::size_t i = 0; i < slots.size(); ++i)
    svg += report::text_at(lanes_left - 8, top + lane_height * (static_cast<double>(i) + 0.5) + 4,
                           " text-anchor=\"end\"", report::shortened(slots[i], most_slot_letters));
  for (const TimelineEntry& entry : entries) {
    const auto lane = static_cast<double>(std::find(slots.begin(), slots.end(), entry.slot) - slots.begin());
    const auto stage =
        static_cast<std::size_t>(std::find(stages.begin(), stages.end(), entry.stage) - stages.begin());
    const bool is_well = entry.outcome == well;
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.0f}\" fill=\"{}\" "
        "{}><title>{}</title></rect>\n",
        place(entry.start_s), top + lane_height * lane + (lane_height - bar_height) / 2,
        std::max(place(entry.end_s) - place(entry.start_s) - 0.5, least_bar), bar_height,
        palette[stage % palette.size()],
        is_well ? "opacity=\"0.85\"" : "fill-opacity=\"0.35\" stroke=\"#c00\" stroke-width=\"1.2\"",
        report::escape_html(fmt::format("{}: {}, {}, {:.4g} to {:.4g} {}", entry.stage, entry.label,
                                        entry.outcome, entry.start_s / unit.seconds,
                                        entry.end_s / unit.seconds, unit.name)));
  }
  if (entries.empty())
    svg += report::text_at((lanes_left + lanes_right) / 2, top + 14, report::middle, "nothing has run");
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const report::LegendEntry& entry = legend.entries[i];
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"9\" fill=\"{}\" opacity=\"0.85\"/>\n",
        entry.x, entry.y - 9, swatch_width - 8, palette[i % palette.size()]);
    svg +=
        report::text_at(entry.x + swatch_width, entry.y, "", entry.lines.empty() ? "" : entry.lines.front());
  }
  return svg + "</svg>";
}

}  // namespace deda::study
