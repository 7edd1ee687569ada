// What a run leaves for people and programs: results.json (summary) and history.csv (one row per epoch, no
// times, so that an interrupted run ends with the same bytes as one nobody disturbed). Schema in README.md
// here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/provenance.h"
#include "training/config.h"
#include "training/state.h"

namespace deda::training {

inline constexpr double percent = 100.0;  // of a share: how accuracies are told

// What a run is, for its results.
struct RunDescription {
  std::string name, method, network, dataset;
  std::int64_t seed = 0, epochs = 0, ranks = 0;
  std::vector<std::string>
      masks;  // sources that the real parts' masks came from, best first; empty: no parts
  std::vector<std::string> groups;  // in the order of the scores, "all" first
  Provenance made_of = {};          // with the run's key (src/pipeline)
  double held_out = 0;              // train.held_out
  std::int64_t left_out = 0;        // pictures of every epoch, by train.last_batch
  ObjectiveChoice objective = ObjectiveChoice::single_label;
};

// Accuracies of one group in percent. `best` is at the epoch with the best accuracy over all pictures.
struct GroupSummary {
  double best = 0, last = 0, mean_last_10 = 0;
  std::int64_t images = 0;
};
// The last ten evaluations; zeros where nothing was evaluated.
GroupSummary summarise(const TrainingState& state, std::size_t group);

// Mean over the groups' shares, each group with pictures counting alike however many it has; nothing where
// there is none, and where it is the share of all (groups of equal size that hold every picture). `scores`:
// "all", then the groups.
std::optional<double> mean_of_groups(const std::vector<GroupScore>& scores);
// The same of that mean; `images`: of all groups.
std::optional<GroupSummary> summarise_mean_of_groups(const TrainingState& state);
// The same of a further number of the evaluations, in percent; nothing where no evaluation has it.
std::optional<GroupSummary> summarise_metric(const TrainingState& state, std::string_view name);

// The same of the held-out pictures, but `best` is at the first epoch that is best for them: the test
// pictures have no part in it. Nothing where none were evaluated.
struct HeldOutSummary {
  GroupSummary accuracy;
  std::int64_t best_epoch = 0;
};
std::optional<HeldOutSummary> summarise_held_out(const TrainingState& state);

std::string results_json(const RunDescription& run, const TrainingState& state);
std::string history_csv(const RunDescription& run, const TrainingState& state);
// Both files, atomically.
void write_results(const std::filesystem::path& folder, const RunDescription& run,
                   const TrainingState& state);

}  // namespace deda::training
