#include "study/seed_cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

namespace deda::study {
namespace {

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional{value} : std::nullopt;
}

RunValues values_of(const report::RunResults& results, const std::string& group) {
  RunValues values;
  const auto found = results.accuracy.find(group);
  if (found != results.accuracy.end()) {
    values.last = finite(found->second.last);
    values.best = finite(found->second.best);
    values.mean_last_10 = finite(found->second.mean_last_10);
    values.images = found->second.images;
  }
  // The last epoch's: held-out pictures are there to choose settings by, and choosing an epoch by them as
  // well would flatter it.
  if (results.held_out) values.held_out = finite(results.held_out->last);
  values.evaluations =
      std::count_if(results.history.begin(), results.history.end(),
                    [&](const report::EpochRow& row) { return row.accuracy.count(group) > 0; });
  return values;
}

std::string why_no_value(const CellRun& run, Value value, const std::string& group) {
  if (!run.results) return "its results cannot be read";
  if (run.results->accuracy.count(group) == 0)
    return fmt::format("it has no group \"{}\" of test pictures", group);
  if (value == Value::held_out) return "it was trained without held-out pictures";
  return fmt::format("its {} accuracy is no number", name_of(value));
}

SeedRun seed_run(const CellRun& run, Value value, const std::string& group) {
  SeedRun made{run.seed, run.key, run.folder, run.state, run.reason, {}, {}};
  if (run.state != RunState::done) return made;
  if (run.results) made.values = values_of(*run.results, group);
  made.value = made.values.of(value);
  if (!made.value) made.reason = why_no_value(run, value, group);
  return made;
}

// What several runs of one seed differ in: "network, dataset".
std::string differing_labels(const std::vector<const CellRun*>& runs) {
  std::map<std::string, std::set<std::string>> values;
  for (const CellRun* run : runs) {
    for (const auto& [axis, label] : run->labels) values[axis].insert(label);
  }
  std::vector<std::string> names;
  for (const auto& [axis, labels] : values) {
    if (labels.size() > 1) names.push_back(axis);
  }
  return names.empty() ? "their settings" : fmt::format("{}", fmt::join(names, ", "));
}

// "seed 3 failed: out of memory", "seeds 1, 2 waiting": seeds of equal state and reason together.
std::string words_of_missing(const std::vector<SeedRun>& runs, bool name_seeds) {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> kinds;
  for (const SeedRun& run : runs) {
    if (run.value) continue;
    const bool is_done = run.state == RunState::done;
    std::string what{is_done ? run.reason : name_of(run.state)};
    if (!is_done && !run.reason.empty()) what += ": " + run.reason;
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.first == what; });
    if (found == kinds.end())
      kinds.push_back({what, {run.seed}});
    else
      found->second.push_back(run.seed);
  }
  if (kinds.size() == 1 && !name_seeds) return kinds.front().first;
  std::string text;
  for (const auto& [what, seeds] : kinds)
    text += fmt::format("{}seed{} {} {}", text.empty() ? "" : "; ", seeds.size() == 1 ? "" : "s",
                        words_of(seeds), what);
  return text;
}

// Of a cell without any value: what needs a person first.
CellState state_of(const std::vector<SeedRun>& runs) {
  constexpr std::array<std::pair<RunState, CellState>, 4> order = {{{RunState::failed, CellState::failed},
                                                                    {RunState::blocked, CellState::blocked},
                                                                    {RunState::running, CellState::running},
                                                                    {RunState::waiting, CellState::waiting}}};
  for (const auto& [run_state, state] : order) {
    if (std::any_of(runs.begin(), runs.end(), [&](const SeedRun& run) { return run.state == run_state; }))
      return state;
  }
  return CellState::failed;  // done, and without a value all the same
}

}  // namespace

std::optional<double> RunValues::of(Value value) const {
  switch (value) {
    case Value::last:
      return last;
    case Value::best:
      return best;
    case Value::mean_last_10:
      return mean_last_10;
    case Value::held_out:
      return held_out;
  }
  return {};
}

std::string_view name_of(CellState state) {
  switch (state) {
    case CellState::done:
      return "done";
    case CellState::partial:
      return "partial";
    case CellState::running:
      return "running";
    case CellState::waiting:
      return "waiting";
    case CellState::failed:
      return "failed";
    case CellState::blocked:
      return "blocked";
    case CellState::mixed:
      return "mixed";
    case CellState::absent:
      return "absent";
  }
  return "";
}

std::vector<std::int64_t> SeedCell::seeds() const {
  std::vector<std::int64_t> found;
  for (const SeedRun& run : runs) {
    if (run.value) found.push_back(run.seed);
  }
  return found;
}

std::vector<double> SeedCell::values() const {
  std::vector<double> found;
  for (const SeedRun& run : runs) {
    if (run.value) found.push_back(*run.value);
  }
  return found;
}

std::optional<double> SeedCell::mean_of(Value value) const {
  std::vector<double> found;
  for (const SeedRun& run : runs) {
    if (!run.value) continue;
    const auto each = run.values.of(value);
    if (!each) return {};
    found.push_back(*each);
  }
  return found.empty() ? std::nullopt : std::optional{estimate(found).mean};
}

std::vector<std::int64_t> SeedCell::schedules() const {
  std::set<std::int64_t> found;
  for (const SeedRun& run : runs) {
    if (run.value) found.insert(run.values.evaluations);
  }
  return {found.begin(), found.end()};
}

std::int64_t SeedCell::images() const {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [](const SeedRun& run) { return run.value.has_value(); });
  return found == runs.end() ? 0 : found->values.images;
}

SeedCell gather(std::vector<const CellRun*> runs, Value value, const std::string& group) {
  SeedCell cell;
  if (runs.empty()) {
    cell.reason = "the study has no such run";
    return cell;
  }
  std::sort(runs.begin(), runs.end(), [](const CellRun* a, const CellRun* b) {
    return std::tie(a->seed, a->key, a->grid, a->folder) < std::tie(b->seed, b->key, b->grid, b->folder);
  });
  for (const CellRun* run : runs) {
    if (!cell.runs.empty() && cell.runs.back().seed == run->seed) {
      if (cell.runs.back().key == run->key) continue;  // wanted by several grids
      cell.state = CellState::mixed;
      cell.reason = fmt::format("several runs of seed {} would stand here: they differ in {}", run->seed,
                                differing_labels(runs));
      continue;
    }
    cell.runs.push_back(seed_run(*run, value, group));
  }
  if (cell.state == CellState::mixed) {
    for (SeedRun& run : cell.runs) run.value.reset();
    return cell;
  }
  cell.ours = estimate(cell.values());
  if (cell.ours.n == cell.runs.size()) {
    cell.state = CellState::done;
  } else if (cell.ours.n > 0) {
    cell.state = CellState::partial;
    cell.reason =
        fmt::format("{} of {} seeds; {}", cell.ours.n, cell.runs.size(), words_of_missing(cell.runs, true));
  } else {
    cell.state = state_of(cell.runs);
    cell.reason = words_of_missing(cell.runs, false);
  }
  if (cell.ours.n == 1 && cell.images() > 0)
    cell.least_error = binomial_standard_error(cell.ours.mean, cell.images());
  return cell;
}

std::string words_of(const std::vector<std::int64_t>& seeds) {
  return seeds.empty() ? "none" : fmt::format("{}", fmt::join(seeds, ", "));
}

}  // namespace deda::study
