// One training run as its folder tells: results.json (summary and what it was made of), history.csv (one row
// per epoch). Written by src/training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/provenance.h"

namespace deda::report {

struct Accuracy {
  double best = 0, last = 0, mean_last_10 = 0;  // percent: top-1, of several labels exact match
  std::int64_t images = 0;
};

struct EpochRow {
  std::int64_t epoch = 0;
  double learning_rate = 0, loss = 0;
  std::map<std::string, double> accuracy;  // percent by group ("all" is every test image), only where
                                           // evaluated; the further numbers too, by name
  std::optional<double> held_out = {};  // percent, of the training pictures that were held out
};

// Each group counts alike, however many pictures it has ("all" counts pictures).
inline constexpr const char* mean_of_groups_name = "mean of groups";

struct RunResults {
  std::filesystem::path folder;
  std::string name, method, network, dataset;
  std::string masks;  // sources of the parts' masks, as "annotated, box_grabcut"; empty: no parts or not told
  std::int64_t seed = 0, epochs = 0, epochs_done = 0, ranks = 0;
  bool finished = false;
  double seconds = 0, images_per_second = 0, data_wait_share = 0;
  std::optional<std::int64_t> skipped_steps = {};  // by the loss scaling of fp16; nothing in other precisions
  std::string objective;             // "single_label" or "multi_label"
  std::vector<std::string> groups;   // in the dataset's order, "all" first
  std::vector<std::string> further;  // mean_of_groups_name where there are groups; "mAP", "F1 micro", ...
  std::map<std::string, Accuracy> accuracy;  // by group, and of the further numbers by name
  std::optional<Accuracy> held_out = {};     // of held-out training pictures, `best` at their own epoch
  std::vector<EpochRow> history;
  std::optional<Provenance> provenance;  // nothing: made by an earlier program, which did not record it
};

// Every run folder below `folder` (itself included), sorted by path; folders that are no runs are passed
// over, damaged ones are reported in `problems` and passed over.
std::vector<RunResults> find_runs(const std::filesystem::path& folder, std::vector<std::string>& problems);

}  // namespace deda::report
