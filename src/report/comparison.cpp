#include "report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>
#include <tuple>

#include "generative/method.h"
#include "mixing/method.h"
#include "report/chart.h"
#include "report/curves.h"
#include "report/letters.h"
#include "report/run_groups.h"

namespace deda::report {

namespace {

constexpr std::string_view plain = "plain";
constexpr std::string_view no_effect = "-";
// Beside the groups of test pictures: training pictures that were held out to choose settings by.
constexpr std::string_view held_out = "held-out training pictures";

const std::vector<double>& values_of(const std::map<std::string, std::vector<double>>& by_group,
                                     const std::string& group) {
  static const std::vector<double> none;
  const auto found = by_group.find(group);
  return found == by_group.end() ? none : found->second;
}

std::string mean_and_deviation(const std::vector<double>& values) {
  if (values.empty()) return "missing";
  if (std::isnan(mean(values))) return std::string{no_effect};
  return values.size() == 1 ? fmt::format("{:.1f}", values[0])
                            : fmt::format("{:.1f} ± {:.1f}", mean(values), deviation(values));
}

// "-" for what a run does not have.
std::string number_text(fmt::format_string<double&> format, double value) {
  return std::isnan(value) ? std::string{no_effect} : fmt::format(format, value);
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

// "A" for the first kind of processor or device of a table.
std::string letter_of(std::size_t kind) {
  constexpr std::size_t letters = 26;
  const std::string letter(1, static_cast<char>('A' + kind % letters));
  return kind < letters ? letter : letter + std::to_string(kind / letters + 1);
}

// The kinds that a mean was taken over: "A", or "A+B (mixed)".
std::string kinds_of_mean(const std::vector<std::string>& kinds) {
  const std::set<std::string> different(kinds.begin(), kinds.end());
  return fmt::format("{}{}", fmt::join(different, "+"), different.size() > 1 ? " (mixed)" : "");
}

// One line of the table as text cells: label, a cell per setting, seed, kind, then one cell per group.
struct Line {
  std::string method;
  std::vector<std::string> settings;
  std::string seed, kind;
  std::vector<std::string> cells;
  bool strong = false;
};

// Whether the table tells of every run on what it was computed.
bool shows_kinds(const Comparison& comparison) {
  const auto is_mixed = [](const MethodSummary& method) {
    return std::set<std::string>(method.kinds.begin(), method.kinds.end()).size() > 1;
  };
  return comparison.kinds.size() > 1 ||
         std::any_of(comparison.methods.begin(), comparison.methods.end(), is_mixed);
}

// What a table of one kind of processor or device says below it; of several kinds a note does.
std::string promise(const Comparison& comparison) {
  const bool all_known =
      std::none_of(comparison.methods.begin(), comparison.methods.end(), [](const MethodSummary& method) {
        return std::find(method.kinds.begin(), method.kinds.end(), no_effect) != method.kinds.end();
      });
  return comparison.kinds.size() == 1 && all_known
             ? fmt::format(
                   " All were computed on {}: this kind of processor or device gives the same numbers "
                   "again, with the same number of ranks; another does not.",
                   comparison.kinds.front())
             : std::string{};
}

std::vector<Line> lines_of(const Comparison& comparison) {
  std::vector<Line> lines;
  for (const MethodSummary& method : comparison.methods) {
    for (std::size_t i = 0; i < method.seeds.size(); ++i) {
      Line line{
          title_of(method), method.settings, std::to_string(method.seeds[i]), method.kinds[i], {}, false};
      for (const std::string& group : comparison.groups)
        line.cells.push_back(number_text("{:.1f}", values_of(method.last, group)[i]));
      lines.push_back(std::move(line));
    }
    if (!method.settings_known) continue;  // a mean would look as if it could be set against others
    Line line{title_of(method), method.settings, "mean", kinds_of_mean(method.kinds), {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(mean_and_deviation(values_of(method.last, group)));
    lines.push_back(std::move(line));
  }
  for (const MethodSummary& method : comparison.methods) {
    if (!method.plain) continue;
    const MethodSummary& base = comparison.methods.at(*method.plain);
    std::vector<std::string> kinds = method.kinds;
    kinds.insert(kinds.end(), base.kinds.begin(), base.kinds.end());
    Line line{
        title_of(method) + " - " + title_of(base), method.settings, "mean", kinds_of_mean(kinds), {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(
          number_text("{:+.1f}", mean(values_of(method.last, group)) - mean(values_of(base.last, group))));
    lines.push_back(std::move(line));
  }
  return lines;
}

double last_accuracy(const RunResults& run, const std::string& group) {
  if (group == held_out) return run.held_out ? run.held_out->last : std::numeric_limits<double>::quiet_NaN();
  const auto found = run.accuracy.find(group);
  return found == run.accuracy.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.last;
}
double best_accuracy(const RunResults& run, const std::string& group) {
  if (group == held_out) return run.held_out ? run.held_out->best : std::numeric_limits<double>::quiet_NaN();
  const auto found = run.accuracy.find(group);
  return found == run.accuracy.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.best;
}

// Names with their members: "1.0: Plain; 1.1: De-DA and Plain".
std::string words_of(const std::map<std::string, std::set<std::string>>& members, std::string_view and_word) {
  std::string text;
  for (const auto& [name, of] : members)
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name, fmt::join(of, and_word));
  return text;
}

std::string kind_of(const RunResults& run) {
  return run.provenance ? run.provenance->processor : std::string{};
}
std::string ranks_of(const RunResults& run) {
  return fmt::format("{} rank{}", run.ranks, run.ranks == 1 ? "" : "s");
}

// Why two runs of equal settings and seed may differ; empty where equal results were promised.
std::string why_unequal(const RunResults& first, const RunResults& second) {
  if (kind_of(first) != kind_of(second))
    return fmt::format(" (computed on {} and on {}: equal results are promised on one kind only)",
                       kind_of(first), kind_of(second));
  if (first.ranks != second.ranks)
    return fmt::format(" (trained by {} and by {}: equal results are promised for one number only)",
                       ranks_of(first), ranks_of(second));
  return {};
}

// A second run of the same settings and seed. Equal settings promise equal results: says where they are not.
std::string note_on_repetition(const std::string& label, const RunResults& first, const RunResults& second) {
  const auto is_equal = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  std::string differences;
  auto judged_by = first.groups;
  judged_by.insert(judged_by.end(), first.further.begin(), first.further.end());
  for (const std::string& group : judged_by) {
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
  return fmt::format("{} and unequal accuracies: {}{}; {} counts, {} is left out", what, differences,
                     why_unequal(first, second), first.folder.string(), second.folder.string());
}

// Builds one table from the runs of one dataset, network and number of epochs.
class Table {
 public:
  explicit Table(const std::vector<const RunResults*>& runs) : grouped_{group_runs(runs)} {
    const RunResults& any = *runs.front();
    comparison_.dataset = any.dataset;
    comparison_.network = any.network;
    comparison_.epochs = any.epochs;
    comparison_.score = any.objective == "multi_label" ? "exact match" : "top-1 accuracy";
    for (const SettingColumn& column : grouped_.columns) comparison_.columns.push_back(column.heading);
    for (const RunResults* run : runs) {
      if (!run->masks.empty()) kinds_of_masks_.insert(run->masks);
      if (run->finished && comparison_.groups.empty()) {
        comparison_.groups = run->groups;
        comparison_.groups.insert(comparison_.groups.end(), run->further.begin(), run->further.end());
      }
    }
    if (std::any_of(runs.begin(), runs.end(),
                    [](const RunResults* run) { return run->finished && run->held_out.has_value(); }))
      comparison_.groups.emplace_back(held_out);
    for (const RunGroup& group : grouped_.groups) add(group);
    note_earlier_runs();
    note_missing_seeds();
    find_plain();
    note_unequal("computed by several versions of the program",
                 [](const RunResults& run) { return run.provenance->code_version; });
    tell_kinds();
    note_unequal("trained by several numbers of ranks, which share batches and sums otherwise", ranks_of);
    gather_curves();
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
        unfinished_.push_back({fmt::format("{} (seed {}, not finished)", label, run->seed), {run->folder}});
        continue;
      }
      const auto [first, is_new] = by_seed.emplace(run->seed, run);
      if (!is_new) comparison_.notes.push_back(note_on_repetition(label, *first->second, *run));
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

  // The groups by something that should be the same for all runs of a table.
  template <class ValueOf>
  void note_unequal(const std::string& what, const ValueOf& value_of) {
    std::map<std::string, std::set<std::string>> labels;
    for (const Shown& shown : shown_) {
      if (!shown.group->settings_known()) continue;
      for (const auto& [seed, run] : shown.by_seed) {
        const std::string value = value_of(*run);
        labels[value.empty() ? "not recorded" : value].insert(shown.label);
      }
    }
    if (labels.size() > 1)
      comparison_.notes.push_back(
          fmt::format("{}, so small differences may come from there: {}", what, words_of(labels, " and ")));
  }

  // On which kinds of processors or devices the runs were computed, and which groups mix them.
  void tell_kinds() {
    std::set<std::string> kinds;
    for (const Shown& shown : shown_) {
      for (const auto& [seed, run] : shown.by_seed) kinds.insert(kind_of(*run));
    }
    kinds.erase("");
    comparison_.kinds.assign(kinds.begin(), kinds.end());
    const auto letter = [&](const RunResults& run) {
      const auto place = std::find(comparison_.kinds.begin(), comparison_.kinds.end(), kind_of(run));
      return place == comparison_.kinds.end()
                 ? std::string{no_effect}
                 : letter_of(static_cast<std::size_t>(place - comparison_.kinds.begin()));
    };
    std::vector<std::string> mixed;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      std::map<std::string, std::set<std::string>> seeds;
      for (const auto& [seed, run] : shown_[i].by_seed) {
        comparison_.methods[i].kinds.push_back(letter(*run));
        seeds[letter(*run)].insert(fmt::format("seed {}", seed));
      }
      if (seeds.size() > 1)
        mixed.push_back(
            fmt::format("{} mixes kinds of processors or devices ({}): its mean and spread hold what the "
                        "kinds differ in too",
                        shown_[i].label, words_of(seeds, ", ")));
    }
    if (comparison_.kinds.size() < 2 && mixed.empty()) return;
    std::string names;
    for (std::size_t i = 0; i < comparison_.kinds.size(); ++i)
      names += fmt::format("{}{} is {}", i == 0 ? "" : ", ", letter_of(i), comparison_.kinds[i]);
    comparison_.notes.push_back(fmt::format(
        "kinds of processors or devices: {}. Equal settings and seeds promise equal results on one kind, "
        "with the "
        "same number of ranks. Another kind rounds otherwise, and a whole training ends elsewhere, as with "
        "another seed",
        names));
    comparison_.notes.insert(comparison_.notes.end(), mixed.begin(), mixed.end());
  }

  void gather_curves() {
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const auto& kinds = comparison_.methods[i].kinds;
      const bool is_mixed = std::set<std::string>(kinds.begin(), kinds.end()).size() > 1;
      Curve curve{shown_[i].label + (is_mixed ? " [" + kinds_of_mean(kinds) + "]" : ""), {}};
      for (const auto& [seed, run] : shown_[i].by_seed) curve.folders.push_back(run->folder);
      comparison_.curves.push_back(std::move(curve));
    }
    comparison_.curves.insert(comparison_.curves.end(), unfinished_.begin(), unfinished_.end());
  }

  GroupedRuns grouped_;
  std::set<std::string> kinds_of_masks_;
  std::vector<Shown> shown_;
  std::vector<Curve> unfinished_;
  Comparison comparison_;
};

}  // namespace

namespace {

std::string title_of_samples(const std::string& method) {
  if (method == plain) return "Plain";
  if (method == "deda") return "De-DA";
  if (method == "deda-real") return "De-DA, real CDPs only";
  if (const auto peer = generative::method_named(method))
    return std::string{generative::facts_of(*peer).title};
  for (const auto* mixing : mixing::methods()) {
    if (mixing->facts().name == method) return std::string{mixing->facts().title};
  }
  return method;
}

}  // namespace

std::string method_title(const std::string& method, const std::string& masks) {
  const auto plus = method.find('+');
  std::string title = title_of_samples(method.substr(0, plus));
  if (plus != std::string::npos) title += " + " + title_of_samples(method.substr(plus + 1));
  return masks.empty() ? title : title + " [" + masks + "]";
}

std::vector<Comparison> compare(const std::vector<RunResults>& runs) {
  using Key = std::tuple<std::string, std::string, std::int64_t, std::string>;
  std::map<Key, std::vector<const RunResults*>> tables;
  for (const RunResults& run : runs)
    tables[{run.dataset, run.network, run.epochs, run.objective}].push_back(&run);
  std::vector<Comparison> comparisons;
  for (const auto& [key, members] : tables) comparisons.push_back(Table{members}.take());
  return comparisons;
}

std::string to_text(const Comparison& comparison) {
  std::string text = fmt::format("{} on {}, {} epochs: {} (%) of the last epoch\n", comparison.network,
                                 comparison.dataset, comparison.epochs, comparison.score);
  constexpr std::size_t seed_width = 6, cell_width = 18;
  std::size_t kind_width = count_letters("kind");
  const auto lines = lines_of(comparison);
  // To the left: method and settings, as wide as their widest. To the right: seed and accuracies.
  std::vector<std::size_t> widths = {count_letters("method")};
  for (const std::string& column : comparison.columns) widths.push_back(count_letters(column));
  for (const Line& line : lines) {
    widths[0] = std::max(widths[0], count_letters(line.method));
    kind_width = std::max(kind_width, count_letters(line.kind));
    for (std::size_t i = 0; i < line.settings.size(); ++i)
      widths[i + 1] = std::max(widths[i + 1], count_letters(line.settings[i]));
  }
  const bool tells_kinds = shows_kinds(comparison);
  const auto padding = [](std::size_t width, const std::string& cell) {
    return std::string(width - std::min(width, count_letters(cell)), ' ');
  };
  const auto add = [&](const std::string& method, const std::vector<std::string>& settings,
                       const std::string& seed, const std::string& kind,
                       const std::vector<std::string>& cells) {
    text += padded(method, widths[0]);
    for (std::size_t i = 0; i < settings.size(); ++i) text += "  " + padded(settings[i], widths[i + 1]);
    text += padding(seed_width, seed) + seed;
    if (tells_kinds) text += "  " + padded(kind, kind_width);
    for (const std::string& cell : cells) text += "  " + padding(cell_width, cell) + cell;
    text += '\n';
  };
  std::vector<std::string> titles;
  for (const std::string& group : comparison.groups) titles.push_back(title_of_group(group));
  const std::size_t start = text.size();
  add("method", comparison.columns, "seed", "kind", titles);
  text += std::string(count_letters(std::string_view{text}.substr(start)) - 1, '-') + '\n';
  for (const Line& line : lines) add(line.method, line.settings, line.seed, line.kind, line.cells);
  for (const std::string& note : comparison.notes) text += "note: " + note + '\n';
  return text;
}

void add_to_page(Page& page, const Comparison& comparison, const std::vector<RunResults>& runs) {
  std::vector<std::string> header = {"method"};
  header.insert(header.end(), comparison.columns.begin(), comparison.columns.end());
  header.emplace_back("seed");
  if (shows_kinds(comparison)) header.emplace_back("kind");
  for (const std::string& group : comparison.groups) header.push_back(title_of_group(group));
  std::vector<std::vector<TableCell>> rows;
  for (const Line& line : lines_of(comparison)) {
    std::vector<TableCell> row = {{line.method, false, line.strong}};
    for (const std::string& setting : line.settings) row.push_back({setting, false, line.strong});
    row.push_back({line.seed, false, line.strong});
    if (shows_kinds(comparison)) row.push_back({line.kind, false, line.strong});
    for (const std::string& cell : line.cells) row.push_back({cell, true, line.strong});
    rows.push_back(std::move(row));
  }
  page.table(header, rows,
             fmt::format("{} on {}, {} epochs: {} in percent of the last epoch; mean over seeds ± "
                         "sample standard deviation. The paper reports the best epoch on the "
                         "test set; that number is in results.json of each run.{}",
                         comparison.network, comparison.dataset, comparison.epochs, comparison.score,
                         promise(comparison)));
  for (const std::string& note : comparison.notes) page.paragraph("Note: " + note);
  std::vector<CurveGroup> groups;
  for (const Curve& curve : comparison.curves) {
    groups.push_back({curve.name, {}});
    for (const RunResults& run : runs) {
      if (std::find(curve.folders.begin(), curve.folders.end(), run.folder) != curve.folders.end())
        groups.back().runs.push_back(&run);
    }
  }
  const auto add_chart = [&](const std::string& title, const std::string& label, const CurveValue& value) {
    Curves curves = draw_curves(groups, value);
    Chart chart{title, "epoch", label, std::move(curves.series), true};
    page.svg(render_svg(chart),
             fmt::format("{}{}{}.", title, curves.caption.empty() ? "" : ": ", curves.caption));
  };
  const bool several_labels = comparison.score == "exact match";
  page.begin_columns();
  for (const std::string& group : comparison.groups) {
    add_chart("Accuracy: " + title_of_group(group), several_labels ? "%" : "top-1, %",
              [&](const EpochRow& row) -> std::optional<double> {
                if (group == held_out) return row.held_out;
                const auto found = row.accuracy.find(group);
                return found == row.accuracy.end() ? std::nullopt : std::optional{found->second};
              });
  }
  add_chart("Training loss", several_labels ? "binary cross entropy" : "cross entropy",
            [](const EpochRow& row) -> std::optional<double> { return row.loss; });
  page.end_columns();
}

}  // namespace deda::report
