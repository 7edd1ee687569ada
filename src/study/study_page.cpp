#include "study/study_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <tuple>

#include "study/layout_labels.h"
#include "study/result_figure.h"
#include "study/result_table.h"
#include "study/sentences.h"
#include "study/table_csv.h"
#include "study/table_latex.h"
#include "study/table_lines.h"
#include "study/table_text.h"

namespace deda::study {
namespace {

using report::HeaderCell;
using report::Page;
using report::TableCell;
using Names = std::vector<std::string>;

constexpr std::size_t key_letters = 16;  // of a key, as in the folder's name

// "De-DA/resnet18/CUB", in the order of the grid's axes.
std::string name_of(const Study& study, const CellRun& run) {
  Names parts;
  std::set<std::string> used;
  const auto add = [&](const std::string& label) {
    const auto found = run.labels.find(label);
    if (found != run.labels.end() && used.insert(label).second) parts.push_back(found->second);
  };
  if (const Grid* grid = study.find_grid(run.grid)) {
    for (const std::string& axis : grid->axes) add(axis);
    for (const Axis& axis : grid->vary) add(axis.name);
  }
  for (const auto& [label, value] : run.labels) add(label);
  return fmt::format("{}", fmt::join(parts, "/"));
}

bool is_soft(TableLine::Kind kind) {
  using Kind = TableLine::Kind;
  return kind == Kind::others || kind == Kind::p || kind == Kind::seeds || kind == Kind::paper;
}

void add_sentences(Page& page, const Names& holes, const Names& notes) {
  if (!holes.empty()) page.paragraph("Not there:");
  page.list(holes);
  if (!notes.empty()) page.paragraph("Notes:");
  page.list(notes);
}

bool begins_with_digit(const std::string& text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0;
}

void add_table(Page& page, const ResultTable& table) {
  const TableLines lines = lines_of(table);
  std::vector<std::vector<HeaderCell>> header;
  for (std::size_t level = 0; level < lines.header.size(); ++level) {
    const bool is_last = level + 1 == lines.header.size();
    std::vector<HeaderCell> row;
    for (const std::string& axis : lines.row_axes) row.push_back({is_last ? axis : "", 1, false});
    row.push_back({"", 1, false});
    for (const HeaderSpan& span : lines.header[level])
      row.push_back({span.text, static_cast<int>(span.columns), true});
    header.push_back(std::move(row));
  }
  std::vector<std::vector<TableCell>> rows;
  for (const LineGroup& group : lines.groups) {
    for (std::size_t i = 0; i < group.lines.size(); ++i) {
      const TableLine& line = group.lines[i];
      const bool soft = is_soft(line.kind), strong = line.kind == TableLine::Kind::ours;
      std::vector<TableCell> row;
      if (i == 0) {
        for (const std::string& label : group.labels)
          row.push_back({label, false, true, false, static_cast<int>(group.lines.size())});
      }
      row.push_back({line.name, false, false, true, 1});
      for (const std::string& cell : line.cells)
        row.push_back({cell, true, strong && begins_with_digit(cell), soft, 1});
      rows.push_back(std::move(row));
    }
  }
  page.paragraph(caption_of(table));
  page.nested_table(header, rows);
  add_sentences(page, table.holes, table.notes);
}

void add_figure(Page& page, const ResultFigure& figure) {
  bool in_columns = false;
  for (const FigurePanel& panel : figure.panels) {
    const bool is_narrow = width_of(figure, panel) <= column_width;
    if (is_narrow != in_columns) is_narrow ? page.begin_columns() : page.end_columns();
    in_columns = is_narrow;
    page.svg(svg_of(figure, panel), caption_of(figure, panel));
  }
  if (in_columns) page.end_columns();
  page.paragraph(fmt::format("{} of {} points.{}", figure.done, figure.points,
                             figure.has_paper ? "" : " Without the paper's numbers."));
  add_sentences(page, figure.holes, figure.notes);
}

std::string hours(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", *value) : "-";
}

void add_costs(Page& page, const std::vector<CostRow>& costs) {
  if (costs.empty()) return;
  page.heading("Hours, predicted and used", "costs");
  std::vector<std::vector<TableCell>> rows;
  const auto add = [&](const CostRow& cost, bool strong) {
    const bool both = cost.predicted_hours && cost.used_hours && *cost.predicted_hours > 0;
    rows.push_back(
        {{cost.kind, false, strong},
         {std::to_string(cost.items), true, strong},
         {hours(cost.predicted_hours), true, strong},
         {hours(cost.used_hours), true, strong},
         {both ? fmt::format("{:.2f}", *cost.used_hours / *cost.predicted_hours) : "-", true, strong}});
  };
  CostRow sum{"together", 0, 0.0, 0.0};
  bool is_whole = true;  // no quotient of sums over different kinds
  for (const CostRow& cost : costs) {
    add(cost, false);
    sum.items += cost.items;
    *sum.predicted_hours += cost.predicted_hours.value_or(0);
    *sum.used_hours += cost.used_hours.value_or(0);
    is_whole = is_whole && cost.predicted_hours && cost.used_hours;
  }
  add(sum, true);
  if (!is_whole) rows.back().back().text = "-";
  page.table({"kind of work", "items", "predicted hours", "used hours", "used / predicted"}, rows,
             "Hours of slots: a step on two GPUs for an hour takes two.");
}

// A cell's seeds that share a state and its reason stand together.
void add_unfinished(Page& page, const Study& study, const std::vector<const CellRun*>& runs) {
  struct Seeds {
    PlaceAndReason of;
    std::vector<std::int64_t> seeds;
  };
  std::vector<Seeds> unfinished;
  std::map<std::pair<std::string, std::string>, std::size_t> place_of;
  std::set<std::string> told;
  for (const CellRun* run : runs) {
    if (run->state == RunState::done || !told.insert(run->key).second) continue;
    const std::string cell = study.grids.size() > 1 ? fmt::format("{}: {}", run->grid, name_of(study, *run))
                                                    : name_of(study, *run);
    const std::string reason =
        fmt::format("{}{}{}", name_of(run->state), run->reason.empty() ? "" : ": ", run->reason);
    const auto [found, is_new] = place_of.emplace(std::pair{cell, reason}, unfinished.size());
    if (is_new) unfinished.push_back({{cell, reason}, {}});
    unfinished[found->second].seeds.push_back(run->seed);
  }
  if (unfinished.empty()) return;
  std::vector<PlaceAndReason> places;
  for (const Seeds& each : unfinished)
    places.push_back({fmt::format("{} (seed{} {})", each.of.place, each.seeds.size() == 1 ? "" : "s",
                                  words_of(each.seeds)),
                      each.of.reason});
  page.heading("What has not run, and why", "unfinished");
  page.list(gathered(places));
}

void add_origins(Page& page, const Study& study, const std::vector<const CellRun*>& runs) {
  page.heading("Where the numbers come from", "origins");
  std::vector<std::vector<TableCell>> rows;
  for (const CellRun* run : runs) {
    const Provenance none,
        &provenance = run->results && run->results->provenance ? *run->results->provenance : none;
    const auto known = [](const std::string& text) { return text.empty() ? std::string{"-"} : text; };
    rows.push_back({{name_of(study, *run)},
                    {run->grid, false, false, true},
                    {std::to_string(run->seed), true},
                    {std::string{name_of(run->state)}},
                    {known(run->folder.string())},
                    {known(run->key.substr(0, key_letters)), false, false, true},
                    {known(provenance.code_version), false, false, true},
                    {known(provenance.processor), false, false, true}});
  }
  page.table(
      {"cell", "grid", "seed", "state", "folder", "key", "version", "processor or device"}, rows,
      "One line per cell and seed; equal keys are one run. results.json in the folder holds all its settings "
      "and what it was made from.");
}

// Runs as a reader looks for them: grids and values in the study's order.
std::vector<const CellRun*> sorted_runs(const Study& study, const std::vector<CellRun>& runs) {
  std::map<std::string, Names> values;
  std::map<std::string, std::map<std::string, std::size_t>> places;
  for (const Axis& axis : study.axes) values.emplace(axis.name, label_values(study, {}, axis.name));
  for (const Grid& grid : study.grids) {
    for (const Axis& axis : grid.vary) values.emplace(axis.name, label_values(study, {}, axis.name));
  }
  for (const auto& [label, names] : values) {
    for (std::size_t i = 0; i < names.size(); ++i) places[label][names[i]] = i;
  }
  using Place = std::tuple<std::size_t, std::vector<std::size_t>>;
  const auto place_of = [&](const CellRun& run) {
    const Grid* grid = study.find_grid(run.grid);
    if (grid == nullptr) return Place{study.grids.size(), {}};
    std::vector<std::size_t> place;
    const auto add = [&](const std::string& label) { place.push_back(places[label][label_of(run, label)]); };
    for (const std::string& axis : grid->axes) add(axis);
    for (const Axis& axis : grid->vary) add(axis.name);
    return Place{static_cast<std::size_t>(grid - study.grids.data()), std::move(place)};
  };
  std::vector<std::pair<Place, const CellRun*>> sorted;
  for (const CellRun* run : runs_of(runs, {})) sorted.emplace_back(place_of(*run), run);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const CellRun*> found;
  for (const auto& [place, run] : sorted) found.push_back(run);
  return found;
}

// "Table 2 (ViT)" -> "table-2-vit"; a second one of that name gets a number.
std::string file_name_of(const std::string& title, std::set<std::string>& used) {
  std::string name;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::isalnum(byte) != 0)
      name += static_cast<char>(std::tolower(byte));
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  if (name.empty()) name = "untitled";
  std::string unique = name;
  for (int i = 2; !used.insert(unique).second; ++i) unique = fmt::format("{}-{}", name, i);
  return unique;
}

struct Layouts {
  std::vector<ResultTable> tables;
  std::vector<ResultFigure> figures;
};

Layouts lay_out_all(const Study& study, const std::vector<CellRun>& runs) {
  Layouts all;
  for (const TableLayout& table : study.tables) all.tables.push_back(lay_out(study, table, runs));
  for (const FigureLayout& figure : study.figures) all.figures.push_back(lay_out(study, figure, runs));
  return all;
}

bool has_paper(const Layouts& all) {
  const auto has = [](const auto& each) { return each.has_paper; };
  return std::any_of(all.tables.begin(), all.tables.end(), has) ||
         std::any_of(all.figures.begin(), all.figures.end(), has);
}

constexpr const char* without_paper =
    "These are not the paper's numbers, and none of the paper's stand beside them.";

Page make_page(const Study& study, const std::vector<CellRun>& runs, const StudyHistory& history,
               const Layouts& all) {
  Page page(study.name, study.file.empty() ? "study from the command line" : study.file.string());
  page.paragraph(words_of(count_runs(runs)) + (has_paper(all) ? "" : fmt::format(" {}", without_paper)));
  for (const ResultTable& table : all.tables) {
    page.heading(table.layout.title);
    add_table(page, table);
  }
  for (const ResultFigure& figure : all.figures) {
    page.heading(figure.layout.title);
    add_figure(page, figure);
  }
  const auto sorted = sorted_runs(study, runs);
  add_unfinished(page, study, sorted);
  add_costs(page, history.costs);
  if (!history.timeline.empty()) {
    page.heading("Timeline", "timeline");
    page.svg(timeline_svg(history.timeline),
             "A lane per slot, a bar per attempt; lighter with a red edge: it did not end well.");
  }
  add_origins(page, study, sorted);
  return page;
}

}  // namespace

RunCounts count_runs(const std::vector<CellRun>& runs) {
  std::set<std::string> seen;
  RunCounts counts;
  for (const CellRun& run : runs) {
    if (!run.key.empty() && !seen.insert(run.key).second) continue;
    switch (run.state) {
      case RunState::done:
        ++counts.done;
        break;
      case RunState::running:
        ++counts.running;
        break;
      case RunState::waiting:
        ++counts.waiting;
        break;
      case RunState::failed:
        ++counts.failed;
        break;
      case RunState::blocked:
        ++counts.blocked;
        break;
    }
  }
  return counts;
}

std::string words_of(const RunCounts& counts) {
  Names others;
  const auto add = [&](std::size_t count, RunState state) {
    if (count > 0) others.push_back(fmt::format("{} {}", count, name_of(state)));
  };
  add(counts.failed, RunState::failed);
  add(counts.blocked, RunState::blocked);
  add(counts.running, RunState::running);
  add(counts.waiting, RunState::waiting);
  return fmt::format("{} of {} {} done{}{}.", counts.done, counts.all(),
                     counts.all() == 1 ? "run is" : "runs are", others.empty() ? "" : ": ",
                     fmt::join(others, ", "));
}

Page study_page(const Study& study, const std::vector<CellRun>& runs, const StudyHistory& history) {
  return make_page(study, runs, history, lay_out_all(study, runs));
}

std::map<std::string, std::string> report_files(const Study& study, const std::vector<CellRun>& runs,
                                                const StudyHistory& history) {
  const Layouts all = lay_out_all(study, runs);
  std::map<std::string, std::string> files;
  std::set<std::string> used{"report"};
  std::string text = fmt::format("{}: {}{}{}\n", study.name, words_of(count_runs(runs)),
                                 has_paper(all) ? "" : " ", has_paper(all) ? "" : without_paper);
  for (const ResultTable& table : all.tables) {
    const std::string name = file_name_of(table.layout.title, used);
    files[name + ".csv"] = to_csv(table);
    files[name + "-seeds.csv"] = seeds_to_csv(table);
    files[name + ".tex"] = to_latex(table);
    text += '\n' + to_text(table);
  }
  for (const ResultFigure& figure : all.figures)
    files[file_name_of(figure.layout.title, used) + ".csv"] = to_csv(figure);
  files["report.txt"] = std::move(text);
  files["report.html"] = make_page(study, runs, history, all).html();
  return files;
}

}  // namespace deda::study
