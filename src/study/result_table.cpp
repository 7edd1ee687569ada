#include "study/result_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/letters.h"
#include "study/layout_labels.h"
#include "study/sentences.h"

namespace deda::study {
namespace {

using Names = std::vector<std::string>;

constexpr double significance = 1 - confidence_level;
// Half of the interval of a normal distribution with standard error 1, at confidence_level.
constexpr double normal_half = 1.959963984540054;

// Half of the 95 % interval of ours; nothing where it is not known. Of too few seeds that of the test set,
// which further seeds on the same pictures do not narrow.
std::optional<double> half_of(const Estimate& ours, double error_of_test_set) {
  if (ours.interval) return (ours.interval->high - ours.interval->low) / 2;
  if (error_of_test_set <= 0) return {};
  return normal_half * error_of_test_set;
}

PaperCheck check_of(double difference, const std::optional<double>& ours, double papers) {
  if (!ours) return PaperCheck::not_possible;
  if (std::abs(difference) <= *ours + papers) return PaperCheck::within;
  return difference > 0 ? PaperCheck::above : PaperCheck::below;
}

Finding finding_of(const PairedDifference& paired) {
  const auto& interval = paired.difference.interval;
  if (!interval) return Finding::none;
  if (interval->low > 0) return Finding::better;
  if (interval->high < 0) return Finding::worse;
  return Finding::not_told_apart;
}

ToBaseline to_baseline(const std::vector<double>& ours, const std::vector<double>& theirs) {
  ToBaseline made{paired_difference(ours, theirs), {}, Finding::none, false};
  made.finding = finding_of(made.paired);
  return made;
}

std::vector<std::string> keys_of(const SeedCell& cell) {
  std::vector<std::string> keys;
  for (const SeedRun& run : cell.runs) keys.push_back(run.key);
  return keys;
}

class Layouter {
 public:
  Layouter(const Study& study, const TableLayout& layout, const std::vector<CellRun>& runs)
      : study_{study}, runs_{runs_of(runs, layout.grids)} {
    table_.layout = layout;
    table_.score = score_title(runs_, layout.group);
  }

  ResultTable lay_out() {
    common_ = common_labels(runs_);
    read_paper();
    place_cells();
    for (ResultRow& row : table_.rows) average(row);
    compare();
    correct_by_holm();
    tell_holes();
    tell_notes();
    return std::move(table_);
  }

 private:
  const TableLayout& layout() const { return table_.layout; }
  bool by_groups() const {
    const Names& columns = layout().columns;
    return std::find(columns.begin(), columns.end(), group_label) != columns.end();
  }

  void read_paper() {
    if (layout().paper.empty()) return;
    KnownLabels known = known_labels(study_, layout().grids);
    for (const auto& [label, value] : common_) known.emplace(label, Names{});
    Names wanted = layout().rows;
    wanted.insert(wanted.end(), layout().columns.begin(), layout().columns.end());
    for (const std::string& label : wanted) known.emplace(label, Names{});
    known.emplace(group_label, Names{});
    paper_ = read_paper_numbers(layout().paper, known, wanted);
  }

  // ---- which cells there are

  // Groups of test pictures: the paper's in its order, then those of the runs, but not all pictures.
  Names groups() const {
    Names found;
    const auto add = [&](const std::string& group) {
      if (group != "all" && std::find(found.begin(), found.end(), group) == found.end())
        found.push_back(group);
    };
    for (const PaperNumber& number : paper_.numbers) {
      if (const auto group = number.labels.find(group_label); group != number.labels.end())
        add(group->second);
    }
    for (const CellRun* run : runs_) {
      if (!run->results) continue;
      for (const std::string& group : run->results->groups) add(group);
    }
    return found.empty() ? Names{layout().group} : found;
  }

  // The values of each label that its lines or columns follow.
  std::vector<Names> values_of(const Names& labels) const {
    std::vector<Names> values;
    for (const std::string& label : labels)
      values.push_back(label == group_label
                           ? groups()
                           : values_in(runs_, label, label_values(study_, layout().grids, label)));
    return values;
  }

  // Those of the product of `values` that any run stands in, the first label outermost.
  std::vector<Names> places_of(const Names& labels, const std::vector<Names>& values) const {
    std::set<Names> present;
    for (const CellRun* run : runs_) {
      Names place;
      for (const std::string& label : labels)
        place.push_back(label == group_label ? std::string{} : label_of(*run, label));
      present.insert(std::move(place));
    }
    std::vector<Names> places{{}};
    for (const Names& each : values) {
      std::vector<Names> longer;
      for (const Names& place : places) {
        for (const std::string& value : each) {
          longer.push_back(place);
          longer.back().push_back(value);
        }
      }
      places = std::move(longer);
    }
    std::erase_if(places, [&](Names place) {
      for (std::size_t i = 0; i < labels.size(); ++i) {
        if (labels[i] == group_label) place[i].clear();
      }
      return present.count(place) == 0;
    });
    return places;
  }

  void place_cells() {
    const auto rows = places_of(layout().rows, values_of(layout().rows));
    table_.columns = places_of(layout().columns, values_of(layout().columns));
    std::map<Labels, std::vector<const CellRun*>> runs_at;  // by the labels of rows and columns
    for (const CellRun* run : runs_) {
      Labels place;
      for (const auto* labels : {&layout().rows, &layout().columns}) {
        for (const std::string& label : *labels) {
          if (label != group_label) place[label] = label_of(*run, label);
        }
      }
      runs_at[place].push_back(run);
    }
    for (const Names& labels : rows) {
      ResultRow row;
      row.labels = labels;
      row.is_baseline = !layout().baseline.empty() && labels.back() == layout().baseline;
      for (const Names& column : table_.columns) row.cells.push_back(make_cell(labels, column, runs_at));
      table_.rows.push_back(std::move(row));
    }
  }

  ResultCell make_cell(const Names& row, const Names& column,
                       const std::map<Labels, std::vector<const CellRun*>>& runs_at) {
    Labels place;
    std::string group = layout().group;
    for (std::size_t i = 0; i < row.size(); ++i) place[layout().rows[i]] = row[i];
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (layout().columns[i] == group_label)
        group = column[i];
      else
        place[layout().columns[i]] = column[i];
    }
    ResultCell made;
    const auto found = runs_at.find(place);
    if (found != runs_at.end()) {
      made.labels = common_labels(found->second);
      made.cell = gather(found->second, layout().value, group);
    } else {
      made.labels = common_;
      made.cell = gather({}, layout().value, group);
    }
    made.labels.insert(place.begin(), place.end());
    made.labels[group_label] = group;  // counts where the paper's file has such a column
    if (made.cell.state != CellState::absent) {
      ++table_.cells;
      if (made.cell.state == CellState::done) ++table_.done;
    }
    beside_paper(made);
    return made;
  }

  // ---- the paper's numbers

  void beside_paper(ResultCell& cell) {
    std::string problem;
    const PaperNumber* number = paper_.find(cell.labels, &problem);
    if (!problem.empty()) paper_.problems.push_back(problem);
    if (number == nullptr) return;
    table_.has_paper = true;
    if (!number->is_share) ++no_shares_;
    cell.paper = number->percent;
    cell.paper_images = number->images;
    if (cell.cell.ours.n == 0) return;
    cell.to_paper = cell.cell.ours.mean - number->percent;
    const std::int64_t images = number->images > 0 ? number->images : cell.cell.images();
    if (images == 0) return;
    const std::int64_t our_images = cell.cell.images() > 0 ? cell.cell.images() : images;
    cell.check = check_of(*cell.to_paper,
                          half_of(cell.cell.ours, binomial_standard_error(cell.cell.ours.mean, our_images)),
                          normal_half * binomial_standard_error(number->percent, images));
  }

  // ---- the average over columns

  // Groups of one test set weigh as many pictures as they have; other columns weigh the same.
  double weight_of(std::int64_t images) const { return by_groups() ? static_cast<double>(images) : 1.0; }

  void average(ResultRow& row) const {
    AverageCell& made = row.average;
    made.reason = why_no_average(row);
    if (made.reason.empty()) average_of_ours(row);
    const double error_of_paper = average_of_paper(row);
    if (!made.paper || made.ours.n == 0) return;
    made.to_paper = made.ours.mean - *made.paper;
    const double error_of_ours = error_of_average(row);
    if (error_of_paper > 0 && error_of_ours > 0)
      made.check = check_of(*made.to_paper, half_of(made.ours, error_of_ours), normal_half * error_of_paper);
  }

  void average_of_ours(ResultRow& row) const {
    AverageCell& made = row.average;
    made.seeds = row.cells.front().cell.seeds();
    made.by_seed.assign(made.seeds.size(), 0);
    double weights = 0;
    for (const ResultCell& cell : row.cells) {
      const double weight = weight_of(cell.cell.images());
      const auto values = cell.cell.values();
      for (std::size_t i = 0; i < values.size(); ++i) made.by_seed[i] += weight * values[i];
      weights += weight;
    }
    for (double& value : made.by_seed) value /= weights;
    made.ours = estimate(made.by_seed);
    if (const double error = error_of_average(row); made.seeds.size() == 1 && error > 0)
      made.least_error = error;
  }

  // Of the test sets, each for itself; 0 where one of them is not known.
  double error_of_average(const ResultRow& row) const {
    double variance = 0, weights = 0;
    for (const ResultCell& cell : row.cells) {
      const std::int64_t images = cell.cell.images();
      if (images == 0) return 0;
      variance += square(weight_of(images) * binomial_standard_error(cell.cell.ours.mean, images));
      weights += weight_of(images);
    }
    return std::sqrt(variance) / weights;
  }

  static double square(double value) { return value * value; }

  // Returns its standard error; 0 where it is not known. Of groups whose pictures the paper's file does not
  // tell, ours count.
  double average_of_paper(ResultRow& row) const {
    double sum = 0, weights = 0, variance = 0;
    bool is_known = true;
    for (const ResultCell& cell : row.cells) {
      if (!cell.paper) return 0;
      const std::int64_t images = cell.paper_images > 0 ? cell.paper_images : cell.cell.images();
      is_known = is_known && images > 0;
      sum += weight_of(images) * *cell.paper;
      weights += weight_of(images);
      variance += square(weight_of(images) * binomial_standard_error(*cell.paper, images));
    }
    if (weights <= 0) return 0;
    row.average.paper = sum / weights;
    return is_known ? std::sqrt(variance) / weights : 0;
  }

  std::string why_no_average(const ResultRow& row) const {
    Names missing;
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      if (row.cells[i].cell.state != CellState::done)
        missing.push_back(
            fmt::format("{} ({})", name_of(table_.columns[i]), name_of(row.cells[i].cell.state)));
    }
    if (!missing.empty()) return "columns are missing: " + report::few_of(missing);
    for (std::size_t i = 1; i < row.cells.size(); ++i) {
      if (row.cells[i].cell.seeds() != row.cells.front().cell.seeds())
        return fmt::format("the columns have unequal seeds: {} in {}, {} in {}",
                           words_of(row.cells.front().cell.seeds()), name_of(table_.columns.front()),
                           words_of(row.cells[i].cell.seeds()), name_of(table_.columns[i]));
    }
    if (by_groups() && std::any_of(row.cells.begin(), row.cells.end(),
                                   [](const ResultCell& cell) { return cell.cell.images() <= 0; }))
      return "the groups' numbers of pictures are not known";
    return {};
  }

  // ---- differences to the baseline

  const ResultRow* baseline_of(const ResultRow& row) const {
    Names wanted = row.labels;
    wanted.back() = layout().baseline;
    const auto found = std::find_if(table_.rows.begin(), table_.rows.end(),
                                    [&](const ResultRow& each) { return each.labels == wanted; });
    return found == table_.rows.end() ? nullptr : &*found;
  }

  // Why two cells with numbers are not compared; empty: they are.
  std::string why_not(const SeedCell& ours, const SeedCell& baseline) const {
    const std::string& name = layout().baseline;
    if (baseline.ours.n == 0)
      return fmt::format("{} has no number there ({})", name, name_of(baseline.state));
    if (ours.seeds() != baseline.seeds())
      return fmt::format("seeds {} against seeds {} of {}", words_of(ours.seeds()),
                         words_of(baseline.seeds()), name);
    if (keys_of(ours) == keys_of(baseline)) return fmt::format("it is the same run as {}", name);
    if (layout().value == Value::best &&
        (ours.schedules().size() != 1 || ours.schedules() != baseline.schedules()))
      return fmt::format("the best of unequally many evaluations ({} against {}) is no fair comparison",
                         words_of(ours.schedules()), words_of(baseline.schedules()));
    return {};
  }

  void compare() {
    if (layout().baseline.empty()) return;
    for (ResultRow& row : table_.rows) {
      if (row.is_baseline) continue;
      const ResultRow* baseline = baseline_of(row);
      if (baseline == nullptr) continue;
      std::vector<PairedColumn> pairs;
      for (std::size_t i = 0; i < row.cells.size(); ++i) {
        ResultCell& cell = row.cells[i];
        const SeedCell& theirs = baseline->cells[i].cell;
        if (cell.cell.ours.n == 0) continue;
        cell.no_difference = why_not(cell.cell, theirs);
        if (!cell.no_difference.empty()) continue;
        cell.to_baseline = to_baseline(cell.cell.values(), theirs.values());
        pairs.push_back({cell.cell.values(), theirs.values()});
      }
      if (pairs.size() != row.cells.size()) continue;
      if (pairs.size() > 1) row.over_columns = over_columns(pairs);
      if (row.average.ours.n > 0 && baseline->average.ours.n > 0)
        row.average.to_baseline = to_baseline(row.average.by_seed, baseline->average.by_seed);
    }
  }

  // The family of a test is the rows of its column.
  void correct_by_holm() {
    for (std::size_t column = 0; column <= table_.columns.size(); ++column) {
      std::vector<ToBaseline*> family;
      std::vector<double> p;
      for (ResultRow& row : table_.rows) {
        auto& to = column < row.cells.size() ? row.cells[column].to_baseline : row.average.to_baseline;
        if (!to || !to->paired.p) continue;
        family.push_back(&*to);
        p.push_back(*to->paired.p);
      }
      const auto corrected = holm_corrected(p);
      for (std::size_t i = 0; i < family.size(); ++i) {
        family[i]->p = corrected[i];
        family[i]->falls_to_holm =
            family[i]->finding != Finding::not_told_apart && corrected[i] > significance;
      }
    }
  }

  // ---- sentences

  std::string place_of(const ResultRow& row, std::size_t column) const {
    const std::string where = name_of(table_.columns[column]);
    return where.empty() ? name_of(row.labels) : fmt::format("{}/{}", name_of(row.labels), where);
  }

  // A run stands in the columns of all its groups: that is one place.
  std::string place_without_group(const ResultRow& row, std::size_t column) const {
    Names labels = row.labels;
    for (std::size_t i = 0; i < layout().columns.size(); ++i) {
      if (layout().columns[i] != group_label) labels.push_back(table_.columns[column][i]);
    }
    return name_of(labels);
  }

  void tell_holes() {
    std::vector<PlaceAndReason> holes;
    for (const ResultRow& row : table_.rows) {
      for (std::size_t i = 0; i < row.cells.size(); ++i) {
        const SeedCell& cell = row.cells[i].cell;
        if (cell.state != CellState::done && cell.state != CellState::absent)
          holes.push_back({place_of(row, i), cell.reason});
      }
    }
    table_.holes = gathered(holes);
  }

  void add_note(std::string note) { table_.notes.push_back(std::move(note)); }

  void tell_notes() {
    if (!layout().note.empty()) add_note(layout().note);
    tell_intervals();
    tell_absent();
    tell_differences();
    tell_over_columns();
    tell_averages();
    tell_schedules();
    tell_checks();
    tell_paper();
    tell_shared();
    tell_origins();
  }

  template <class Use>
  void each_cell(const Use& use) const {
    for (const ResultRow& row : table_.rows) {
      for (std::size_t i = 0; i < row.cells.size(); ++i) use(row, i, row.cells[i]);
    }
  }

  void tell_intervals() {
    std::set<std::size_t> counts;
    bool any_least = false;
    each_cell([&](const auto&, std::size_t, const ResultCell& cell) {
      if (cell.cell.ours.n > 0) counts.insert(cell.cell.ours.n);
      any_least = any_least || cell.cell.least_error.has_value();
    });
    if (counts.empty()) return;
    if (*counts.rbegin() >= seeds_for_interval)
      add_note("± is half of the 95 % interval of the mean over seeds (Student's t).");
    if (counts.count(2) > 0)
      add_note("n = 2: no interval, it would be 9 standard deviations wide to either side.");
    if (any_least)
      add_note(
          "n = 1: no interval. In brackets the binomial standard error of the test set, a lower limit of the "
          "error of a run: what another seed changes comes on top.");
  }

  void tell_absent() {
    std::size_t absent = 0;
    each_cell([&](const auto&, std::size_t, const ResultCell& cell) {
      if (cell.cell.state == CellState::absent) ++absent;
    });
    if (absent > 0)
      add_note(fmt::format("Empty cells: the study has no such run ({}).", plural(absent, "cell")));
  }

  void tell_differences() {
    if (layout().baseline.empty()) return;
    bool any = false, any_interval = false, any_falls = false;
    std::vector<PlaceAndReason> refused;
    const auto see = [&](const std::optional<ToBaseline>& to) {
      if (!to) return;
      any = true;
      any_interval = any_interval || to->p.has_value();
      any_falls = any_falls || to->falls_to_holm;
    };
    each_cell([&](const ResultRow& row, std::size_t i, const ResultCell& cell) {
      see(cell.to_baseline);
      if (!cell.no_difference.empty())
        refused.push_back({place_of(row, i),
                           fmt::format("no difference to {}: {}", layout().baseline, cell.no_difference)});
    });
    for (const ResultRow& row : table_.rows) see(row.average.to_baseline);
    if (any)
      add_note(fmt::format(
          "Differences to {} are paired by seed: equal seeds have equal initial weights and orders of "
          "pictures.{}",
          layout().baseline,
          any_interval ? " \"better\" and \"worse\" only where the 95 % interval excludes 0; p is two-sided, "
                         "with Holm's correction over the rows of its column."
                       : fmt::format(" With fewer than {} seeds none is told apart from chance.",
                                     seeds_for_interval)));
    if (any_falls)
      add_note(
          "\"alone\": the interval excludes 0, but among so many rows that may be chance (Holm's p is over "
          "0.05).");
    const Names sentences = gathered(refused);
    for (const std::string& sentence : sentences) add_note(sentence + ".");
  }

  void tell_over_columns() {
    for (const ResultRow& row : table_.rows) {
      if (!row.over_columns) continue;
      const OverColumns& over = *row.over_columns;
      if (!over.interval) continue;
      add_note(fmt::format(
          "{} against {} over all columns: {:+.2f} points [{:+.2f}, {:+.2f}] (mean of the columns' "
          "differences; "
          "95 % by bootstrap of the seeds within each column); a run of it is ahead with probability {:.2f}.",
          name_of(row.labels), layout().baseline, over.mean, over.interval->low, over.interval->high,
          over.probability_of_improvement));
    }
  }

  void tell_averages() {
    if (!layout().average) return;
    if (by_groups()) add_note("The average weighs each group by its pictures.");
    std::vector<PlaceAndReason> refused;
    for (const ResultRow& row : table_.rows) {
      if (!row.average.reason.empty())
        refused.push_back({name_of(row.labels), "no average: " + row.average.reason});
    }
    for (const std::string& sentence : gathered(refused)) add_note(sentence + ".");
  }

  void tell_schedules() {
    if (layout().value != Value::best) return;
    std::set<std::int64_t> schedules;
    each_cell([&](const auto&, std::size_t, const ResultCell& cell) {
      for (const std::int64_t count : cell.cell.schedules()) schedules.insert(count);
    });
    if (schedules.empty()) return;
    add_note(fmt::format(
        "\"best\" is the best of {} looks at the test pictures, which flatters; \"last\" does not choose.",
        fmt::join(schedules, " or ")));
  }

  void tell_checks() {
    std::map<PaperCheck, Names> outside;
    const auto see = [&](PaperCheck check, const std::string& place, double difference) {
      if (check == PaperCheck::above || check == PaperCheck::below)
        outside[check].push_back(fmt::format("{} ({:+.2f})", place, difference));
    };
    each_cell([&](const ResultRow& row, std::size_t i, const ResultCell& cell) {
      see(cell.check, place_of(row, i), cell.to_paper.value_or(0));
    });
    if (layout().average) {
      for (const ResultRow& row : table_.rows)
        see(row.average.check, name_of(row.labels) + "/average", row.average.to_paper.value_or(0));
    }
    for (const auto& [check, places] : outside)
      add_note(fmt::format("{} {} the paper beyond both uncertainties: {}.", plural(places.size(), "number"),
                           name_of(check), report::few_of(places, places_named)));
  }

  void tell_paper() {
    const std::string file = layout().paper.filename().string();
    if (table_.has_paper)
      add_note("The paper's numbers are of single runs, and it does not say of which epoch.");
    if (table_.has_paper && layout().average)
      add_note("The paper's averages are computed here from its cells.");
    for (const Misprint& misprint : paper_.misprints) {
      if (has_row(misprint.row))
        add_note(fmt::format(
            "Misprint in the paper: it prints an average of {:.2f} for {}, its own cells give {:.2f}.",
            misprint.printed, misprint.row, misprint.recomputed));
    }
    if (no_shares_ > 0)
      add_note(fmt::format(
          "{} of the paper's numbers here cannot be: no whole number of right test pictures gives {}.",
          no_shares_, no_shares_ == 1 ? "it" : "them"));
    if (!layout().paper.empty() && !table_.has_paper)
      add_note(fmt::format("Not the paper's numbers: {} has none for these cells.", file));
    std::set<std::string> told;
    for (const std::string& problem : paper_.problems) {
      if (told.insert(problem).second) add_note(problem + (problem.ends_with('?') ? "" : "."));
    }
  }

  bool has_row(const std::string& label) const {
    return std::any_of(table_.rows.begin(), table_.rows.end(), [&](const ResultRow& row) {
      return std::find(row.labels.begin(), row.labels.end(), label) != row.labels.end();
    });
  }

  void tell_shared() {
    std::map<std::string, Names> cells_of;
    each_cell([&](const ResultRow& row, std::size_t i, const ResultCell& cell) {
      const std::string place = place_without_group(row, i);
      for (const SeedRun& run : cell.cell.runs) {
        if (run.key.empty()) continue;
        Names& cells = cells_of[run.key];
        if (std::find(cells.begin(), cells.end(), place) == cells.end()) cells.push_back(place);
      }
    });
    std::size_t shared = 0;
    std::set<std::string> groups;
    for (const auto& [key, cells] : cells_of) {
      if (cells.size() < 2) continue;
      ++shared;
      groups.insert(fmt::format("{}", fmt::join(cells, " = ")));
    }
    if (shared == 0) return;
    add_note(fmt::format("{} in several cells and {} in each: {}.",
                         shared == 1 ? "1 run stands" : fmt::format("{} runs stand", shared),
                         shared == 1 ? "counts" : "count",
                         report::few_of({groups.begin(), groups.end()}, places_named)));
  }

  // What should be the same for all runs of a table.
  void tell_origins() {
    std::map<std::string, std::set<std::string>> kinds, versions;  // -> keys
    for (const CellRun* run : runs_) {
      if (run->state != RunState::done || !run->results) continue;
      const auto& provenance = run->results->provenance;
      const auto known = [](const std::string& text) { return text.empty() ? "not recorded" : text; };
      kinds[known(provenance ? provenance->processor : "")].insert(run->key);
      versions[known(provenance ? provenance->code_version : "")].insert(run->key);
    }
    const auto words = [](const std::map<std::string, std::set<std::string>>& counts) {
      Names names;
      for (const auto& [name, keys] : counts)
        names.push_back(fmt::format("{} ({})", name, plural(keys.size(), "run")));
      return fmt::format("{}", fmt::join(names, ", "));
    };
    if (kinds.size() > 1)
      add_note(fmt::format(
          "Computed on several kinds of processors or devices, which round differently, so that equal seeds "
          "end "
          "elsewhere: {}.",
          words(kinds)));
    if (versions.size() > 1)
      add_note(fmt::format(
          "Computed by several versions of the program, so small differences may come from there: {}.",
          words(versions)));
  }

  const Study& study_;
  std::vector<const CellRun*> runs_;
  Labels common_;
  PaperNumbers paper_;
  std::size_t no_shares_ = 0;  // numbers of the paper in cells that are no k / n
  ResultTable table_;
};

}  // namespace

std::string_view name_of(PaperCheck check) {
  switch (check) {
    case PaperCheck::not_possible:
      return "not checked";
    case PaperCheck::within:
      return "within";
    case PaperCheck::above:
      return "above";
    case PaperCheck::below:
      return "below";
  }
  return "";
}

std::string_view name_of(Finding finding) {
  switch (finding) {
    case Finding::none:
      return "";
    case Finding::better:
      return "better";
    case Finding::worse:
      return "worse";
    case Finding::not_told_apart:
      return "not told apart";
  }
  return "";
}

ResultTable lay_out(const Study& study, const TableLayout& layout, const std::vector<CellRun>& runs) {
  return Layouter{study, layout, runs}.lay_out();
}

std::string progress_of(const ResultTable& table) {
  return fmt::format("{} of {} cells", table.done, table.cells);
}

std::string name_of(const std::vector<std::string>& labels) {
  return fmt::format("{}", fmt::join(labels, "/"));
}

}  // namespace deda::study
