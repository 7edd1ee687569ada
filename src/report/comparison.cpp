#include "report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>
#include <tuple>

#include "report/chart.h"
#include "report/letters.h"
#include "report/run_groups.h"

namespace deda::report {

namespace {

constexpr std::string_view plain = "plain";
constexpr std::string_view no_effect = "-";

const std::vector<double>& values_of(const std::map<std::string, std::vector<double>>& by_group,
                                     const std::string& group) {
  static const std::vector<double> none;
  const auto found = by_group.find(group);
  return found == by_group.end() ? none : found->second;
}

std::string mean_and_deviation(const std::vector<double>& values) {
  if (values.empty()) return "missing";
  return values.size() == 1 ? fmt::format("{:.1f}", values[0])
                            : fmt::format("{:.1f} ± {:.1f}", mean(values), deviation(values));
}

std::string title_of_group(const std::string& group) {
  return group == "all" ? "test" : group;
}

std::string title_of(const std::string& method, const std::string& masks, bool settings_known) {
  return method_title(method, masks) +
         (settings_known ? "" : " (made by an earlier version: settings unknown)");
}
std::string title_of(const MethodSummary& method) {
  return title_of(method.method, method.masks, method.settings_known);
}

// The title with what tells the group from the others: "De-DA p_aug=0.3".
std::string with_settings(std::string title, const std::vector<SettingColumn>& columns,
                          const std::vector<std::string>& cells) {
  const char* before = " ";
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (cells[i] == no_effect) continue;
    title += before + columns[i].heading + '=' + cells[i];
    before = ", ";
  }
  return title;
}

// One line of the table as text cells: label, a cell per setting, seed, then one cell per group.
struct Line {
  std::string method;
  std::vector<std::string> settings;
  std::string seed;
  std::vector<std::string> cells;
  bool strong = false;
};

std::vector<Line> lines_of(const Comparison& comparison) {
  std::vector<Line> lines;
  for (const MethodSummary& method : comparison.methods) {
    for (std::size_t i = 0; i < method.seeds.size(); ++i) {
      Line line{title_of(method), method.settings, std::to_string(method.seeds[i]), {}, false};
      for (const std::string& group : comparison.groups)
        line.cells.push_back(fmt::format("{:.1f}", values_of(method.last, group)[i]));
      lines.push_back(std::move(line));
    }
    if (!method.settings_known) continue;  // a mean would look as if it could be set against others
    Line line{title_of(method), method.settings, "mean", {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(mean_and_deviation(values_of(method.last, group)));
    lines.push_back(std::move(line));
  }
  for (const MethodSummary& method : comparison.methods) {
    if (!method.plain) continue;
    const MethodSummary& base = comparison.methods.at(*method.plain);
    Line line{title_of(method) + " - " + title_of(base), method.settings, "mean", {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(
          fmt::format("{:+.1f}", mean(values_of(method.last, group)) - mean(values_of(base.last, group))));
    lines.push_back(std::move(line));
  }
  return lines;
}

double last_accuracy(const RunResults& run, const std::string& group) {
  const auto found = run.accuracy.find(group);
  return found == run.accuracy.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.last;
}
double best_accuracy(const RunResults& run, const std::string& group) {
  const auto found = run.accuracy.find(group);
  return found == run.accuracy.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.best;
}

// A second run of the same settings and seed. Equal settings promise equal results: says where they are not.
std::string note_on_repetition(const std::string& label, const RunResults& first, const RunResults& second) {
  const auto is_equal = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  std::string differences;
  for (const std::string& group : first.groups) {
    const double a = last_accuracy(first, group), b = last_accuracy(second, group);
    if (is_equal(a, b)) continue;
    differences += fmt::format("{}{} {:.2f} and {:.2f} ({:+.2f})", differences.empty() ? "" : ", ",
                               title_of_group(group), a, b, b - a);
  }
  const std::string what =
      fmt::format("{} (seed {}) was run twice with the same settings", label, first.seed);
  if (differences.empty())
    return fmt::format("{} and equal accuracies: {} is shown, {} is left out", what, first.folder.string(),
                       second.folder.string());
  return fmt::format("{} and unequal accuracies: {}; {} counts, {} is left out", what, differences,
                     first.folder.string(), second.folder.string());
}

// Builds one table from the runs of one dataset, network and number of epochs.
class Table {
 public:
  explicit Table(const std::vector<const RunResults*>& runs) : grouped_{group_runs(runs)} {
    const RunResults& any = *runs.front();
    comparison_.dataset = any.dataset;
    comparison_.network = any.network;
    comparison_.epochs = any.epochs;
    for (const SettingColumn& column : grouped_.columns) comparison_.columns.push_back(column.heading);
    for (const RunResults* run : runs) {
      if (!run->masks.empty()) kinds_of_masks_.insert(run->masks);
      if (run->finished && comparison_.groups.empty()) comparison_.groups = run->groups;
    }
    for (const RunGroup& group : grouped_.groups) add(group);
    note_earlier_runs();
    note_missing_seeds();
    find_plain();
    note_unequal("computed by several versions of the program", &Provenance::code_version);
    note_unequal("computed on several kinds of processors", &Provenance::processor);
  }
  Comparison take() { return std::move(comparison_); }

 private:
  // A group with finished runs, at the same index as its summary.
  struct Shown {
    const RunGroup* group;
    std::string label;
    std::map<std::int64_t, const RunResults*> by_seed;
  };

  // The sources of masks stand in the title where the table holds several and no column tells this group's.
  std::string masks_of(const RunGroup& group) const {
    if (kinds_of_masks_.size() < 2) return {};
    for (std::size_t i = 0; i < grouped_.columns.size(); ++i) {
      if (grouped_.columns[i].key == "decouple.sources" && group.cells[i] != no_effect) return {};
    }
    return group.runs.front()->masks;
  }
  std::string label_of(const RunGroup& group) const {
    return with_settings(title_of(group.method, masks_of(group), group.settings_known()), grouped_.columns,
                         group.cells);
  }

  void add(const RunGroup& group) {
    const std::string label = label_of(group);
    std::map<std::int64_t, const RunResults*> by_seed;
    for (const RunResults* run : group.runs) {
      if (!run->finished) {
        comparison_.notes.push_back(fmt::format("{} (seed {}) is not finished: {} of {} epochs; left out",
                                                label, run->seed, run->epochs_done, run->epochs));
        comparison_.legends[run->folder] = label;
        continue;
      }
      const auto [first, is_new] = by_seed.emplace(run->seed, run);
      if (is_new)
        comparison_.legends[run->folder] = label;
      else
        comparison_.notes.push_back(note_on_repetition(label, *first->second, *run));
    }
    if (by_seed.empty()) return;
    MethodSummary summary;
    summary.method = group.method;
    summary.masks = masks_of(group);
    summary.settings_known = group.settings_known();
    summary.settings = group.cells;
    for (const auto& [seed, run] : by_seed) {
      summary.seeds.push_back(seed);
      for (const std::string& pictures : comparison_.groups) {
        summary.last[pictures].push_back(last_accuracy(*run, pictures));
        summary.best[pictures].push_back(best_accuracy(*run, pictures));
      }
    }
    comparison_.methods.push_back(std::move(summary));
    shown_.push_back({&group, label, by_seed});
  }

  void note_earlier_runs() {
    std::string folders;
    for (const Shown& shown : shown_) {
      if (!shown.group->settings_known())
        folders += (folders.empty() ? "" : ", ") + shown.group->runs.front()->folder.string();
    }
    if (folders.empty()) return;
    comparison_.notes.push_back(
        "runs made by an earlier version of the program, which did not record their settings, stand each by "
        "itself: they are not averaged and not held against plain training; train them again for that: " +
        folders);
  }

  void note_missing_seeds() {
    std::set<std::int64_t> all;
    for (const Shown& shown : shown_) {
      if (!shown.group->settings_known()) continue;
      for (const auto& [seed, run] : shown.by_seed) all.insert(seed);
    }
    for (const Shown& shown : shown_) {
      if (shown.group->settings_known() && shown.by_seed.size() != all.size())
        comparison_.notes.push_back(
            fmt::format("{} has {} of {} seeds", shown.label, shown.by_seed.size(), all.size()));
    }
  }

  std::string heading_of(const std::string& key) const {
    for (const SettingColumn& column : grouped_.columns) {
      if (column.key == key) return column.heading;
    }
    return key;
  }

  // For every other method the plain training that it may be held against.
  void find_plain() {
    std::vector<std::size_t> plains;
    bool any_plain = false;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      if (shown_[i].group->method != plain) continue;
      any_plain = true;
      if (shown_[i].group->settings_known()) plains.push_back(i);
    }
    if (!any_plain) return;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const Shown& other = shown_[i];
      if (other.group->method == plain || !other.group->settings_known()) continue;
      std::vector<std::size_t> equal;
      std::vector<std::string> nearest;  // what the most similar plain training has otherwise
      for (const std::size_t candidate : plains) {
        const auto keys = unequal_beside_method(*shown_[candidate].group, *other.group);
        if (keys.empty()) equal.push_back(candidate);
        if (candidate == plains.front() || keys.size() < nearest.size()) nearest = keys;
      }
      if (equal.size() == 1) {
        comparison_.methods[i].plain = equal.front();
        continue;
      }
      std::string why = "the settings of the plain runs are unknown";
      if (!equal.empty()) {
        why = "several plain ones have its settings";
      } else if (!plains.empty()) {
        std::string headings;
        for (const std::string& key : nearest) headings += (headings.empty() ? "" : ", ") + heading_of(key);
        why = "no plain run has its " + headings;
      }
      comparison_.notes.push_back(fmt::format("{} has no difference to plain: {}", shown_[i].label, why));
    }
  }

  // The groups by a member of the provenance that should be the same for all runs of a table.
  void note_unequal(const std::string& what, std::string Provenance::*member) {
    std::map<std::string, std::set<std::string>> labels;
    for (const Shown& shown : shown_) {
      if (!shown.group->settings_known()) continue;
      for (const auto& [seed, run] : shown.by_seed) labels[(*run->provenance).*member].insert(shown.label);
    }
    if (labels.size() < 2) return;
    std::string text;
    for (const auto& [value, of] : labels)
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", value.empty() ? "not recorded" : value,
                          fmt::join(of, " and "));
    comparison_.notes.push_back(fmt::format("{}, so small differences may come from there: {}", what, text));
  }

  GroupedRuns grouped_;
  std::set<std::string> kinds_of_masks_;
  std::vector<Shown> shown_;
  Comparison comparison_;
};

}  // namespace

double mean(const std::vector<double>& values) {
  return values.empty()
             ? 0.0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0.0;
  const double centre = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - centre) * (value - centre);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

std::string method_title(const std::string& method, const std::string& masks) {
  std::string title = method;
  if (method == plain) title = "Plain";
  if (method == "deda") title = "De-DA";
  if (method == "deda-real") title = "De-DA, real CDPs only";
  return masks.empty() ? title : title + " [" + masks + "]";
}

std::vector<Comparison> compare(const std::vector<RunResults>& runs) {
  using Key = std::tuple<std::string, std::string, std::int64_t>;
  std::map<Key, std::vector<const RunResults*>> tables;
  for (const RunResults& run : runs) tables[{run.dataset, run.network, run.epochs}].push_back(&run);
  std::vector<Comparison> comparisons;
  for (const auto& [key, members] : tables) comparisons.push_back(Table{members}.take());
  return comparisons;
}

std::string to_text(const Comparison& comparison) {
  std::string text = fmt::format("{} on {}, {} epochs: top-1 accuracy (%) of the last epoch\n",
                                 comparison.network, comparison.dataset, comparison.epochs);
  constexpr std::size_t seed_width = 6, cell_width = 18;
  const auto lines = lines_of(comparison);
  // To the left: method and settings, as wide as their widest. To the right: seed and accuracies.
  std::vector<std::size_t> widths = {count_letters("method")};
  for (const std::string& column : comparison.columns) widths.push_back(count_letters(column));
  for (const Line& line : lines) {
    widths[0] = std::max(widths[0], count_letters(line.method));
    for (std::size_t i = 0; i < line.settings.size(); ++i)
      widths[i + 1] = std::max(widths[i + 1], count_letters(line.settings[i]));
  }
  const auto padding = [](std::size_t width, const std::string& cell) {
    return std::string(width - std::min(width, count_letters(cell)), ' ');
  };
  const auto add = [&](const std::string& method, const std::vector<std::string>& settings,
                       const std::string& seed, const std::vector<std::string>& cells) {
    text += method + padding(widths[0], method);
    for (std::size_t i = 0; i < settings.size(); ++i)
      text += "  " + settings[i] + padding(widths[i + 1], settings[i]);
    text += padding(seed_width, seed) + seed;
    for (const std::string& cell : cells) text += "  " + padding(cell_width, cell) + cell;
    text += '\n';
  };
  std::vector<std::string> titles;
  for (const std::string& group : comparison.groups) titles.push_back(title_of_group(group));
  const std::size_t start = text.size();
  add("method", comparison.columns, "seed", titles);
  text += std::string(count_letters(std::string_view{text}.substr(start)) - 1, '-') + '\n';
  for (const Line& line : lines) add(line.method, line.settings, line.seed, line.cells);
  for (const std::string& note : comparison.notes) text += "note: " + note + '\n';
  return text;
}

void add_to_page(Page& page, const Comparison& comparison, const std::vector<RunResults>& runs) {
  std::vector<std::string> header = {"method"};
  header.insert(header.end(), comparison.columns.begin(), comparison.columns.end());
  header.emplace_back("seed");
  for (const std::string& group : comparison.groups) header.push_back(title_of_group(group));
  std::vector<std::vector<TableCell>> rows;
  for (const Line& line : lines_of(comparison)) {
    std::vector<TableCell> row = {{line.method, false, line.strong}};
    for (const std::string& setting : line.settings) row.push_back({setting, false, line.strong});
    row.push_back({line.seed, false, line.strong});
    for (const std::string& cell : line.cells) row.push_back({cell, true, line.strong});
    rows.push_back(std::move(row));
  }
  page.table(
      header, rows,
      fmt::format("{} on {}, {} epochs: top-1 accuracy in percent of the last epoch; mean over seeds ± "
                  "sample standard deviation. The paper reports the best epoch on the "
                  "test set; that number is in results.json of each run.",
                  comparison.network, comparison.dataset, comparison.epochs));
  for (const std::string& note : comparison.notes) page.paragraph("Note: " + note);
  const auto curves = [&](const std::string& title, const std::string& label, auto&& value) {
    Chart chart{title, "epoch", label, {}};
    for (const RunResults& run : runs) {
      const auto legend = comparison.legends.find(run.folder);
      if (legend == comparison.legends.end()) continue;
      Series series{legend->second, {}};
      for (const EpochRow& row : run.history) value(row, series.points);
      if (!series.points.empty()) chart.series.push_back(std::move(series));
    }
    page.svg(render_svg(chart), fmt::format("{}; one line per seed.", title));
  };
  page.begin_columns();
  for (const std::string& group : comparison.groups) {
    curves("Accuracy: " + title_of_group(group), "top-1, %", [&](const EpochRow& row, auto& points) {
      const auto found = row.accuracy.find(group);
      if (found != row.accuracy.end()) points.emplace_back(static_cast<double>(row.epoch), found->second);
    });
  }
  curves("Training loss", "cross entropy", [](const EpochRow& row, auto& points) {
    points.emplace_back(static_cast<double>(row.epoch), row.loss);
  });
  page.end_columns();
}

}  // namespace deda::report
