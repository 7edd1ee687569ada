#include "study/table_lines.h"

#include <fmt/format.h>

#include <algorithm>

namespace deda::study {
namespace {

constexpr std::string_view average_title = "average";
constexpr double least_shown_p = 0.001;

std::string with_interval(const std::string& mean, const std::optional<Interval>& interval) {
  return interval ? fmt::format("{} ± {:.2f}", mean, (interval->high - interval->low) / 2) : mean;
}

std::string words_of(const Estimate& ours, const std::optional<double>& least_error) {
  const std::string mean = fmt::format("{:.2f}", ours.mean);
  return least_error ? fmt::format("{} ({:.2f})", mean, *least_error) : with_interval(mean, ours.interval);
}

std::string words_of_ours(const SeedCell& cell) {
  if (cell.state == CellState::absent) return {};
  return cell.ours.n == 0 ? std::string{name_of(cell.state)} : words_of(cell.ours, cell.least_error);
}

// The means that do not count here, in the order of `Value`.
constexpr std::pair<Value, const char*> other_values[] = {
    {Value::last, "last"}, {Value::best, "best"}, {Value::mean_last_10, "last 10"}};

std::string name_of_others(Value value) {
  std::string name;
  for (const auto& [other, title] : other_values) {
    if (other != value) name += (name.empty() ? "" : " · ") + std::string{title};
  }
  return name;
}

std::string words_of_others(const SeedCell& cell, Value value) {
  std::string text;
  for (const auto& [other, title] : other_values) {
    if (other == value) continue;
    const auto mean = cell.mean_of(other);
    if (!mean) return {};
    text += fmt::format("{}{:.2f}", text.empty() ? "" : " · ", *mean);
  }
  return text;
}

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", *value) : std::string{};
}

std::string words_of_to_paper(const std::optional<double>& difference, PaperCheck check) {
  if (!difference) return {};
  const bool is_outside = check == PaperCheck::above || check == PaperCheck::below;
  return fmt::format("{:+.2f}{}{}", *difference, is_outside ? " " : "", is_outside ? name_of(check) : "");
}

std::string words_of_difference(const std::optional<ToBaseline>& to) {
  if (!to) return {};
  return with_interval(fmt::format("{:+.2f}", to->paired.difference.mean), to->paired.difference.interval);
}

std::string words_of_finding(const std::optional<ToBaseline>& to) {
  if (!to) return {};
  return fmt::format("{}{}", name_of(to->finding), to->falls_to_holm ? " alone" : "");
}

std::string words_of_p(const std::optional<ToBaseline>& to) {
  if (!to || !to->p) return {};
  return *to->p < least_shown_p ? fmt::format("< {}", least_shown_p) : fmt::format("{:.3f}", *to->p);
}

std::string words_of_seeds(const SeedCell& cell) {
  if (cell.state == CellState::absent) return {};
  return cell.ours.n == cell.runs.size() ? std::to_string(cell.ours.n)
                                         : fmt::format("{} of {}", cell.ours.n, cell.runs.size());
}

// The columns' labels of one level; equal neighbours under equal outer labels are one.
std::vector<HeaderSpan> spans_of(const std::vector<std::vector<std::string>>& columns, std::size_t level) {
  std::vector<HeaderSpan> spans;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const bool is_same = i > 0 && level + 1 < columns[i].size() &&
                         std::equal(columns[i].begin(), columns[i].begin() + static_cast<long>(level) + 1,
                                    columns[i - 1].begin());
    if (is_same)
      ++spans.back().columns;
    else
      spans.push_back({columns[i][level], 1});
  }
  return spans;
}

}  // namespace

std::string words_of(Value value) {
  switch (value) {
    case Value::last:
      return "last epoch";
    case Value::best:
      return "best epoch on the test pictures";
    case Value::mean_last_10:
      return "mean of the last 10 epochs";
    case Value::held_out:
      return "epoch chosen on held-out pictures";
  }
  return {};
}

TableLines lines_of(const ResultTable& table) {
  using Kind = TableLine::Kind;
  TableLines result;
  const bool has_average = table.layout.average;
  result.row_axes = table.layout.rows;
  result.columns = table.columns.size() + (has_average ? 1 : 0);
  const std::size_t levels = table.layout.columns.size();
  for (std::size_t level = 0; level < levels; ++level) {
    result.header.push_back(spans_of(table.columns, level));
    if (has_average)
      result.header.back().push_back({level + 1 == levels ? std::string{average_title} : "", 1});
  }
  if (levels == 0) {
    result.header.push_back({{"accuracy", 1}});
    if (has_average) result.header.back().push_back({std::string{average_title}, 1});
  }
  const Value value = table.layout.value;
  for (const ResultRow& row : table.rows) {
    LineGroup group{row.labels, {}};
    const auto add = [&](Kind kind, const std::string& name, const auto& of_cell, std::string of_average) {
      TableLine line{kind, name, {}};
      for (const ResultCell& cell : row.cells) line.cells.push_back(of_cell(cell));
      if (has_average) line.cells.push_back(std::move(of_average));
      const bool any =
          std::any_of(line.cells.begin(), line.cells.end(), [](const auto& text) { return !text.empty(); });
      if (any || kind == Kind::ours || kind == Kind::seeds) group.lines.push_back(std::move(line));
    };
    const AverageCell& average = row.average;
    add(
        Kind::ours, "ours", [](const ResultCell& cell) { return words_of_ours(cell.cell); },
        average.ours.n > 0 ? words_of(average.ours, average.least_error) : "-");
    add(
        Kind::others, name_of_others(value),
        [&](const ResultCell& cell) { return words_of_others(cell.cell, value); }, "");
    add(
        Kind::paper, "paper", [](const ResultCell& cell) { return number(cell.paper); },
        number(average.paper));
    add(
        Kind::to_paper, "ours - paper",
        [](const ResultCell& cell) { return words_of_to_paper(cell.to_paper, cell.check); },
        words_of_to_paper(average.to_paper, average.check));
    add(
        Kind::to_baseline, "- " + table.layout.baseline,
        [](const ResultCell& cell) { return words_of_difference(cell.to_baseline); },
        words_of_difference(average.to_baseline));
    add(
        Kind::finding, "told apart?",
        [](const ResultCell& cell) { return words_of_finding(cell.to_baseline); },
        words_of_finding(average.to_baseline));
    add(
        Kind::p, "p (Holm)", [](const ResultCell& cell) { return words_of_p(cell.to_baseline); },
        words_of_p(average.to_baseline));
    add(
        Kind::seeds, "n", [](const ResultCell& cell) { return words_of_seeds(cell.cell); },
        average.ours.n > 0 ? std::to_string(average.ours.n) : "");
    result.groups.push_back(std::move(group));
  }
  return result;
}

std::string caption_of(const ResultTable& table) {
  const std::string pictures =
      table.layout.group == "all" ? std::string{} : fmt::format(", on \"{}\"", table.layout.group);
  return fmt::format("{}: {} (%), {}{}. {}{}", table.layout.title, table.score, words_of(table.layout.value),
                     pictures, progress_of(table), table.has_paper ? "." : "; without the paper's numbers.");
}

}  // namespace deda::study
