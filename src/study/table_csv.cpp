#include "study/table_csv.h"

#include <fmt/format.h>

#include <algorithm>

namespace deda::study {
namespace {

using Cells = std::vector<std::string>;

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.6f}", *value) : std::string{};
}

void add_line(std::string& text, const Cells& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) text += (i == 0 ? "" : ",") + csv_cell(cells[i]);
  text += '\n';
}

Cells label_names(const ResultTable& table) {
  Cells names = table.layout.rows;
  names.insert(names.end(), table.layout.columns.begin(), table.layout.columns.end());
  return names;
}

Cells labels_of(const ResultRow& row, const std::vector<std::string>& column) {
  Cells labels = row.labels;
  labels.insert(labels.end(), column.begin(), column.end());
  return labels;
}

// Mean, interval, deviation and least error.
void add_estimate(Cells& cells, const Estimate& ours, const std::optional<double>& least_error) {
  const bool any = ours.n > 0;
  cells.push_back(any ? number(ours.mean) : "");
  cells.push_back(ours.interval ? number(ours.interval->low) : "");
  cells.push_back(ours.interval ? number(ours.interval->high) : "");
  cells.push_back(ours.n > 1 ? number(ours.deviation) : "");
  cells.push_back(number(least_error));
}

void add_differences(Cells& cells, const std::optional<double>& paper, const std::optional<double>& to_paper,
                     PaperCheck check, const std::optional<ToBaseline>& to) {
  cells.push_back(number(paper));
  cells.push_back(number(to_paper));
  cells.emplace_back(to_paper ? name_of(check) : "");
  const Estimate none, &difference = to ? to->paired.difference : none;
  cells.push_back(to ? number(difference.mean) : "");
  cells.push_back(difference.interval ? number(difference.interval->low) : "");
  cells.push_back(difference.interval ? number(difference.interval->high) : "");
  cells.push_back(to && to->paired.p ? fmt::format("{:.6g}", *to->paired.p) : "");
  cells.push_back(to && to->p ? fmt::format("{:.6g}", *to->p) : "");
  cells.emplace_back(to ? name_of(to->finding) : "");
}

}  // namespace

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string to_csv(const ResultTable& table) {
  std::string text;
  Cells header = label_names(table);
  for (const char* name : {"value",
                           "n",
                           "seeds_wanted",
                           "mean",
                           "low",
                           "high",
                           "deviation",
                           "least_error",
                           "last",
                           "best",
                           "mean_last_10",
                           "held_out",
                           "paper",
                           "difference",
                           "check",
                           "baseline_difference",
                           "baseline_low",
                           "baseline_high",
                           "p",
                           "p_holm",
                           "finding",
                           "state",
                           "reason",
                           "seeds",
                           "folders",
                           "keys"})
    header.emplace_back(name);
  add_line(text, header);
  const std::string value{name_of(table.layout.value)};
  for (const ResultRow& row : table.rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const ResultCell& result = row.cells[i];
      const SeedCell& cell = result.cell;
      Cells cells = labels_of(row, table.columns[i]);
      cells.push_back(value);
      cells.push_back(std::to_string(cell.ours.n));
      cells.push_back(std::to_string(cell.runs.size()));
      add_estimate(cells, cell.ours, cell.least_error);
      for (const Value each : {Value::last, Value::best, Value::mean_last_10, Value::held_out})
        cells.push_back(number(cell.mean_of(each)));
      add_differences(cells, result.paper, result.to_paper, result.check, result.to_baseline);
      cells.emplace_back(name_of(cell.state));
      cells.push_back(!cell.reason.empty() ? cell.reason : result.no_difference);
      Cells seeds, folders, keys;
      for (const SeedRun& run : cell.runs) {
        seeds.push_back(std::to_string(run.seed));
        folders.push_back(run.folder.string());
        keys.push_back(run.key);
      }
      for (const Cells& list : {seeds, folders, keys})
        cells.push_back(fmt::format("{}", fmt::join(list, ";")));
      add_line(text, cells);
    }
    if (!table.layout.average) continue;
    const AverageCell& average = row.average;
    Cells column(table.layout.columns.size());
    if (!column.empty()) column.front() = "average";
    Cells cells = labels_of(row, column);
    cells.push_back(value);
    cells.push_back(std::to_string(average.ours.n));
    cells.emplace_back();
    add_estimate(cells, average.ours, average.least_error);
    cells.insert(cells.end(), 4, "");
    add_differences(cells, average.paper, average.to_paper, average.check, average.to_baseline);
    cells.emplace_back(average.ours.n > 0 ? "done" : "missing");
    cells.push_back(average.reason);
    Cells seeds;
    for (const std::int64_t seed : average.seeds) seeds.push_back(std::to_string(seed));
    cells.push_back(fmt::format("{}", fmt::join(seeds, ";")));
    cells.insert(cells.end(), 2, "");
    add_line(text, cells);
  }
  return text;
}

std::string seeds_to_csv(const ResultTable& table) {
  std::string text;
  Cells header = label_names(table);
  for (const char* name : {"seed", "state", "reason", "last", "best", "mean_last_10", "held_out",
                           "test_images", "evaluations", "folder", "key"})
    header.emplace_back(name);
  add_line(text, header);
  for (const ResultRow& row : table.rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      for (const SeedRun& run : row.cells[i].cell.runs) {
        Cells cells = labels_of(row, table.columns[i]);
        cells.push_back(std::to_string(run.seed));
        cells.emplace_back(name_of(run.state));
        cells.push_back(run.reason);
        for (const Value each : {Value::last, Value::best, Value::mean_last_10, Value::held_out})
          cells.push_back(number(run.values.of(each)));
        cells.push_back(run.values.images > 0 ? std::to_string(run.values.images) : "");
        cells.push_back(run.state == RunState::done ? std::to_string(run.values.evaluations) : "");
        cells.push_back(run.folder.string());
        cells.push_back(run.key);
        add_line(text, cells);
      }
    }
  }
  return text;
}

}  // namespace deda::study
