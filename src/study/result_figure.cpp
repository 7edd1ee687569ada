#include "study/result_figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

#include "io/formats/text_table.h"
#include "report/bar_chart.h"
#include "report/chart.h"
#include "study/layout_labels.h"
#include "study/paper_numbers.h"
#include "study/sentences.h"
#include "study/table_csv.h"
#include "study/table_lines.h"

namespace deda::study {
namespace {

using Names = std::vector<std::string>;
using Kind = FigureLayout::Kind;

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
constexpr const char* only_series = "ours";  // in legends, where there is no axis of series
constexpr const char* panels_by_grid = "grid";
constexpr const char* x_varied = "vary";  // the panel's grid says which key

// What is shaded around a point, or drawn as whiskers: the interval, of two seeds from one to the other.
std::optional<Interval> spread_of(const SeedCell& cell) {
  if (cell.ours.interval) return cell.ours.interval;
  if (cell.ours.n < 2) return {};
  const auto values = cell.values();
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return Interval{*low, *high};
}

// Runs of one panel.
struct PanelRuns {
  std::string title;
  const Grid* grid = nullptr;  // where a panel is a grid
  std::vector<const CellRun*> runs;
};

class Layouter {
 public:
  Layouter(const Study& study, const FigureLayout& layout, const std::vector<CellRun>& runs)
      : study_{study}, runs_{runs_of(runs, layout.grids)} {
    figure_.layout = layout;
    figure_.score = score_title(runs_, layout.group);
  }

  ResultFigure lay_out() {
    if (!layout().note.empty()) figure_.notes.push_back(layout().note);
    for (const PanelRuns& panel : panels()) {
      if (layout().kind == Kind::curves)
        add_curves(panel);
      else
        add_points(panel);
    }
    figure_.holes = gathered(holes_);
    std::set<std::string> told;
    for (const std::string& problem : problems_) {
      if (told.insert(problem).second) figure_.notes.push_back(problem + (problem.ends_with('?') ? "" : "."));
    }
    return std::move(figure_);
  }

 private:
  const FigureLayout& layout() const { return figure_.layout; }

  std::vector<PanelRuns> panels() const {
    if (layout().panels.empty()) return {{layout().title, nullptr, runs_}};
    std::vector<PanelRuns> found;
    const auto add = [&](const std::string& title, const Grid* grid, const auto& is_in) {
      PanelRuns panel{title, grid, {}};
      std::copy_if(runs_.begin(), runs_.end(), std::back_inserter(panel.runs), is_in);
      if (!panel.runs.empty()) found.push_back(std::move(panel));
    };
    if (layout().panels == panels_by_grid) {
      for (const Grid& grid : study_.grids)
        add(grid.name, &grid, [&](const CellRun* run) { return run->grid == grid.name; });
    } else {
      for (const std::string& value : values_of(runs_, layout().panels))
        add(value, nullptr, [&](const CellRun* run) { return label_of(*run, layout().panels) == value; });
    }
    return found;
  }

  Names values_of(const std::vector<const CellRun*>& runs, const std::string& label) const {
    return values_in(runs, label, label_values(study_, layout().grids, label));
  }

  std::string x_of(const PanelRuns& panel) const {
    if (layout().x != x_varied) return layout().x;
    if (panel.grid != nullptr && !panel.grid->vary.empty()) return panel.grid->vary.front().name;
    for (const Grid& grid : study_.grids) {
      const bool is_here = std::any_of(panel.runs.begin(), panel.runs.end(),
                                       [&](const CellRun* run) { return run->grid == grid.name; });
      if (is_here && !grid.vary.empty()) return grid.vary.front().name;
    }
    return {};
  }

  std::vector<const CellRun*> with(const std::vector<const CellRun*>& runs, const std::string& label,
                                   const std::string& value) const {
    std::vector<const CellRun*> chosen;
    std::copy_if(runs.begin(), runs.end(), std::back_inserter(chosen),
                 [&](const CellRun* run) { return label_of(*run, label) == value; });
    return chosen;
  }

  static std::string place_of(const std::string& panel, const std::string& series, const std::string& x) {
    std::string place;
    for (const std::string* part : {&panel, &series, &x}) {
      if (!part->empty()) place += (place.empty() ? "" : "/") + *part;
    }
    return place;
  }

  void count(const SeedCell& cell, const std::string& place) {
    if (cell.state == CellState::absent) return;
    ++figure_.points;
    if (cell.state == CellState::done)
      ++figure_.done;
    else
      holes_.push_back({place, cell.reason});
  }

  // ---- lines and bars

  void add_points(const PanelRuns& from) {
    FigurePanel panel;
    panel.title = from.title;
    panel.x_label = x_of(from);
    panel.x_values = values_of(from.runs, panel.x_label);
    panel.has_numbers = std::all_of(panel.x_values.begin(), panel.x_values.end(),
                                    [](const std::string& x) { return io::to_number(x).has_value(); });
    if (panel.has_numbers)
      std::stable_sort(panel.x_values.begin(), panel.x_values.end(),
                       [](const auto& a, const auto& b) { return *io::to_number(a) < *io::to_number(b); });
    const PaperNumbers paper = paper_of(from, panel.x_label);
    for (const std::string& series : values_of(from.runs, layout().series)) {
      const auto runs = with(from.runs, layout().series, series);
      FigureLine line{series, {}};
      for (const std::string& x : panel.x_values) {
        const auto at_x = with(runs, panel.x_label, x);
        FigurePoint point{x, gather(at_x, layout().value, layout().group), {}};
        std::string problem;
        Labels labels = common_labels(at_x);
        labels[group_label] = layout().group;
        if (const PaperNumber* number = at_x.empty() ? nullptr : paper.find(labels, &problem)) {
          point.paper = number->percent;
          figure_.has_paper = true;
        }
        if (!problem.empty()) problems_.push_back(problem);
        count(point.cell, place_of(layout().panels.empty() ? "" : panel.title, series, x));
        line.points.push_back(std::move(point));
      }
      panel.lines.push_back(std::move(line));
    }
    figure_.panels.push_back(std::move(panel));
  }

  PaperNumbers paper_of(const PanelRuns& panel, const std::string& x) {
    if (layout().paper.empty()) return {};
    KnownLabels known = known_labels(study_, layout().grids);
    for (const auto& [label, value] : common_labels(panel.runs)) known.emplace(label, Names{});
    known.emplace(group_label, Names{});
    Names wanted;
    for (const std::string* label : {&x, &layout().series}) {
      if (!label->empty()) wanted.push_back(*label);
    }
    PaperNumbers paper = read_paper_numbers(layout().paper, known, wanted);
    problems_.insert(problems_.end(), paper.problems.begin(), paper.problems.end());
    return paper;
  }

  // ---- learning curves

  void add_curves(const PanelRuns& from) {
    FigurePanel panel;
    panel.title = from.title;
    panel.x_label = "epoch";
    std::vector<report::CurveGroup> groups;
    for (const std::string& series : values_of(from.runs, layout().series)) {
      const auto runs = with(from.runs, layout().series, series);
      const SeedCell cell = gather(runs, layout().value, layout().group);
      count(cell, place_of(layout().panels.empty() ? "" : panel.title, series, ""));
      report::CurveGroup group{series.empty() ? only_series : series, {}};
      for (const SeedRun& seed : cell.runs) {
        if (!seed.value) continue;
        const auto run = std::find_if(runs.begin(), runs.end(), [&](const CellRun* each) {
          return each->key == seed.key && each->seed == seed.seed;
        });
        group.runs.push_back(&*(*run)->results);
      }
      if (!group.runs.empty()) groups.push_back(std::move(group));
    }
    panel.curves = report::draw_curves(groups, [&](const report::EpochRow& row) -> std::optional<double> {
      const auto found = row.accuracy.find(layout().group);
      return found == row.accuracy.end() ? std::nullopt : std::optional{found->second};
    });
    figure_.panels.push_back(std::move(panel));
  }

  const Study& study_;
  std::vector<const CellRun*> runs_;
  ResultFigure figure_;
  std::vector<PlaceAndReason> holes_;
  Names problems_;
};

report::Chart line_chart(const ResultFigure& figure, const FigurePanel& panel) {
  report::Chart chart{panel.title, panel.x_label, figure.score + ", %", {}, false, {}, true};
  if (!panel.has_numbers) chart.x_names = panel.x_values;
  for (const FigureLine& line : panel.lines) {
    const std::string name = line.name.empty() ? only_series : line.name;
    report::Series ours{name, {}, {}, false}, papers{name, {}, {}, true};
    for (std::size_t i = 0; i < line.points.size(); ++i) {
      const FigurePoint& point = line.points[i];
      const double x = panel.has_numbers ? *io::to_number(point.x) : static_cast<double>(i);
      ours.points.emplace_back(x, point.cell.ours.n > 0 ? point.cell.ours.mean : nothing);
      const auto spread = spread_of(point.cell);
      ours.band.push_back({x, spread ? spread->low : nothing, spread ? spread->high : nothing});
      if (point.paper) papers.points.emplace_back(x, *point.paper);
    }
    chart.series.push_back(std::move(ours));
    if (figure.has_paper && !papers.points.empty()) chart.series.push_back(std::move(papers));
  }
  return chart;
}

report::BarChart bar_chart(const ResultFigure& figure, const FigurePanel& panel) {
  report::BarChart chart{panel.title, figure.score + ", %", panel.x_values, {}};
  for (const FigureLine& line : panel.lines) {
    report::BarSeries series{line.name, {}};
    for (const FigurePoint& point : line.points) {
      report::Bar bar;
      const auto spread = spread_of(point.cell);
      if (point.cell.ours.n > 0)
        bar.value = point.cell.ours.mean;
      else if (point.cell.state != CellState::absent)
        bar.missing = std::string{name_of(point.cell.state)};
      if (spread) {
        bar.low = spread->low;
        bar.high = spread->high;
      }
      bar.reference = point.paper;
      series.bars.push_back(std::move(bar));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.6f}", *value) : std::string{};
}

void add_line(std::string& text, const Names& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) text += (i == 0 ? "" : ",") + csv_cell(cells[i]);
  text += '\n';
}

std::string curves_to_csv(const ResultFigure& figure) {
  std::string text = "panel,series,epoch,mean,low,high\n";
  for (const FigurePanel& panel : figure.panels) {
    for (const report::Series& series : panel.curves.series) {
      for (std::size_t i = 0; i < series.points.size(); ++i) {
        const bool has_band = i < series.band.size();
        add_line(text, {panel.title, series.name, fmt::format("{:.0f}", series.points[i].first),
                        number(series.points[i].second), has_band ? number(series.band[i].low) : "",
                        has_band ? number(series.band[i].high) : ""});
      }
    }
  }
  return text;
}

}  // namespace

ResultFigure lay_out(const Study& study, const FigureLayout& layout, const std::vector<CellRun>& runs) {
  return Layouter{study, layout, runs}.lay_out();
}

int width_of(const ResultFigure& figure, const FigurePanel& panel) {
  if (figure.layout.kind != Kind::bars) return column_width;
  constexpr std::size_t axes_room = 90, bar_room = 28, letter_room = 8, gap = 12;
  std::size_t category = panel.lines.size() * bar_room;
  for (const std::string& x : panel.x_values) category = std::max(category, x.size() * letter_room);
  return static_cast<int>(std::clamp<std::size_t>(axes_room + panel.x_values.size() * (category + gap),
                                                  column_width, page_width));
}

std::string svg_of(const ResultFigure& figure, const FigurePanel& panel) {
  switch (figure.layout.kind) {
    case Kind::lines:
      return report::render_svg(line_chart(figure, panel), width_of(figure, panel));
    case Kind::bars:
      return report::render_svg(bar_chart(figure, panel), width_of(figure, panel));
    case Kind::curves:
      return report::render_svg(
          {panel.title, panel.x_label, figure.score + ", %", panel.curves.series, true, {}, false},
          width_of(figure, panel));
  }
  return {};
}

std::string caption_of(const ResultFigure& figure, const FigurePanel& panel) {
  if (figure.layout.kind == Kind::curves)
    return fmt::format("{}{}{}.", panel.title, panel.curves.caption.empty() ? "" : ": ",
                       panel.curves.caption);
  std::set<std::string> spreads;
  for (const FigureLine& line : panel.lines) {
    for (const FigurePoint& point : line.points) {
      if (point.cell.ours.interval)
        spreads.insert("the 95 % interval");
      else if (point.cell.ours.n == 2)
        spreads.insert("of two seeds from one to the other");
    }
  }
  const bool is_bars = figure.layout.kind == Kind::bars;
  std::string caption = fmt::format("{}: {}, mean over seeds", panel.title, words_of(figure.layout.value));
  if (!spreads.empty())
    caption += fmt::format("; {} {}", is_bars ? "whiskers:" : "band:", fmt::join(spreads, ", "));
  if (figure.has_paper) caption += is_bars ? "; dashes: the paper" : "; dotted: the paper";
  return caption + '.';
}

std::string to_csv(const ResultFigure& figure) {
  if (figure.layout.kind == Kind::curves) return curves_to_csv(figure);
  std::string text =
      "panel,series,x_label,x,n,seeds_wanted,mean,low,high,least_error,paper,difference,state,reason,seeds,"
      "folders,keys\n";
  for (const FigurePanel& panel : figure.panels) {
    for (const FigureLine& line : panel.lines) {
      for (const FigurePoint& point : line.points) {
        const SeedCell& cell = point.cell;
        const bool any = cell.ours.n > 0;
        Names seeds, folders, keys;
        for (const SeedRun& run : cell.runs) {
          seeds.push_back(std::to_string(run.seed));
          folders.push_back(run.folder.string());
          keys.push_back(run.key);
        }
        add_line(text,
                 {panel.title, line.name, panel.x_label, point.x, std::to_string(cell.ours.n),
                  std::to_string(cell.runs.size()), any ? number(cell.ours.mean) : "",
                  cell.ours.interval ? number(cell.ours.interval->low) : "",
                  cell.ours.interval ? number(cell.ours.interval->high) : "", number(cell.least_error),
                  number(point.paper), any && point.paper ? number(cell.ours.mean - *point.paper) : "",
                  std::string{name_of(cell.state)}, cell.reason, fmt::format("{}", fmt::join(seeds, ";")),
                  fmt::format("{}", fmt::join(folders, ";")), fmt::format("{}", fmt::join(keys, ";"))});
      }
    }
  }
  return text;
}

}  // namespace deda::study
