#include "report/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string_view>
#include <tuple>

#include "report/chart.h"

namespace deda::report {

namespace {

constexpr const char* plain = "plain";

const MethodSummary* find_plain(const Comparison& comparison) {
  for (const MethodSummary& method : comparison.methods) {
    if (method.method == plain) return &method;
  }
  return nullptr;
}

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

// One line of the table as text cells: label, seed, then one cell per group.
struct Line {
  std::string method, seed;
  std::vector<std::string> cells;
  bool strong = false;
};

std::vector<Line> lines_of(const Comparison& comparison) {
  std::vector<Line> lines;
  const MethodSummary* base = find_plain(comparison);
  for (const MethodSummary& method : comparison.methods) {
    for (std::size_t i = 0; i < method.seeds.size(); ++i) {
      Line line{method_title(method.method, method.masks), std::to_string(method.seeds[i]), {}, false};
      for (const std::string& group : comparison.groups)
        line.cells.push_back(fmt::format("{:.1f}", values_of(method.last, group)[i]));
      lines.push_back(std::move(line));
    }
    Line line{method_title(method.method, method.masks), "mean", {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(mean_and_deviation(values_of(method.last, group)));
    lines.push_back(std::move(line));
  }
  for (const MethodSummary& method : comparison.methods) {
    if (base == nullptr || &method == base || method.seeds.empty() || base->seeds.empty()) continue;
    Line line{
        method_title(method.method, method.masks) + " - " + method_title(base->method), "mean", {}, true};
    for (const std::string& group : comparison.groups)
      line.cells.push_back(
          fmt::format("{:+.1f}", mean(values_of(method.last, group)) - mean(values_of(base->last, group))));
    lines.push_back(std::move(line));
  }
  return lines;
}

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
  std::map<Key, std::vector<const RunResults*>> kinds;
  for (const RunResults& run : runs) kinds[{run.dataset, run.network, run.epochs}].push_back(&run);
  std::vector<Comparison> comparisons;
  for (const auto& [key, members] : kinds) {
    Comparison comparison;
    std::tie(comparison.dataset, comparison.network, std::ignore) = key;
    std::set<std::string> kinds_of_masks;
    for (const RunResults* run : members) {
      if (!run->masks.empty()) kinds_of_masks.insert(run->masks);
    }
    const auto masks_of = [&](const RunResults& run) {
      return kinds_of_masks.size() > 1 ? run.masks : std::string{};
    };
    std::map<std::pair<std::string, std::string>, std::map<std::int64_t, const RunResults*>> by_method;
    for (const RunResults* run : members) {
      if (!run->finished) {
        comparison.notes.push_back(fmt::format("{} (seed {}) is not finished: {} of {} epochs; left out",
                                               method_title(run->method, masks_of(*run)), run->seed,
                                               run->epochs_done, run->epochs));
        continue;
      }
      if (comparison.groups.empty()) comparison.groups = run->groups;
      auto& by_seed = by_method[{run->method, masks_of(*run)}];
      if (!by_seed.emplace(run->seed, run).second) {
        comparison.notes.push_back(
            fmt::format("{} (seed {}) was run with several settings; the table shows {}",
                        method_title(run->method, masks_of(*run)), run->seed,
                        by_seed[run->seed]->folder.filename().string()));
      }
    }
    std::set<std::int64_t> all_seeds;
    for (const auto& [kind, by_seed] : by_method) {
      MethodSummary summary;
      std::tie(summary.method, summary.masks) = kind;
      for (const auto& [seed, run] : by_seed) {
        summary.seeds.push_back(seed);
        all_seeds.insert(seed);
        for (const std::string& group : comparison.groups) {
          const auto found = run->accuracy.find(group);
          const double nothing = std::numeric_limits<double>::quiet_NaN();
          summary.last[group].push_back(found == run->accuracy.end() ? nothing : found->second.last);
          summary.best[group].push_back(found == run->accuracy.end() ? nothing : found->second.best);
        }
      }
      if (summary.method == plain)
        comparison.methods.insert(comparison.methods.begin(), std::move(summary));
      else
        comparison.methods.push_back(std::move(summary));
    }
    for (const MethodSummary& method : comparison.methods) {
      if (method.seeds.size() != all_seeds.size())
        comparison.notes.push_back(fmt::format("{} has {} of {} seeds",
                                               method_title(method.method, method.masks), method.seeds.size(),
                                               all_seeds.size()));
    }
    comparisons.push_back(std::move(comparison));
  }
  return comparisons;
}

std::string to_text(const Comparison& comparison) {
  std::string text =
      fmt::format("{} on {}: top-1 accuracy (%) of the last epoch\n", comparison.network, comparison.dataset);
  constexpr int seed_width = 6;
  std::size_t method_width = std::string_view{"method"}.size();
  const std::vector<Line> lines = lines_of(comparison);
  for (const Line& line : lines) method_width = std::max(method_width, line.method.size());
  std::string header = fmt::format("{:<{}}{:>{}}", "method", method_width, "seed", seed_width);
  for (const std::string& group : comparison.groups) header += fmt::format("  {:>18}", title_of_group(group));
  text += header + '\n' + std::string(header.size(), '-') + '\n';
  for (const Line& line : lines) {
    text += fmt::format("{:<{}}{:>{}}", line.method, method_width, line.seed, seed_width);
    for (const std::string& cell : line.cells) text += fmt::format("  {:>18}", cell);
    text += '\n';
  }
  for (const std::string& note : comparison.notes) text += "note: " + note + '\n';
  return text;
}

void add_to_page(Page& page, const Comparison& comparison, const std::vector<RunResults>& runs) {
  std::vector<std::string> header = {"method", "seed"};
  for (const std::string& group : comparison.groups) header.push_back(title_of_group(group));
  std::vector<std::vector<TableCell>> rows;
  for (const Line& line : lines_of(comparison)) {
    std::vector<TableCell> row = {{line.method, false, line.strong}, {line.seed, false, line.strong}};
    for (const std::string& cell : line.cells) row.push_back({cell, true, line.strong});
    rows.push_back(std::move(row));
  }
  page.table(header, rows,
             fmt::format("{} on {}: top-1 accuracy in percent of the last epoch; mean over seeds ± sample "
                         "standard deviation. The paper reports the best epoch on the "
                         "test set; that number is in results.json of each run.",
                         comparison.network, comparison.dataset));
  for (const std::string& note : comparison.notes) page.paragraph("Note: " + note);
  const auto curves = [&](const std::string& title, const std::string& label, auto&& value) {
    Chart chart{title, "epoch", label, {}};
    const bool several_masks = std::any_of(comparison.methods.begin(), comparison.methods.end(),
                                           [](const MethodSummary& method) { return !method.masks.empty(); });
    for (const RunResults& run : runs) {
      if (run.dataset != comparison.dataset || run.network != comparison.network) continue;
      Series series{method_title(run.method, several_masks ? run.masks : std::string{}), {}};
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
