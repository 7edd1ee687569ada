// Which runs are one experiment with several seeds, and what tells the others apart.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "report/run_results.h"

namespace deda::report {

using ValuesByKey = std::map<std::string, std::string>;  // "train.epochs" -> "300", values as compact JSON

// Runs that differ in nothing but the seed: equal settings, equal stores and files that they were made from.
// A run of an earlier program, which did not record them, is a group of its own.
struct RunGroup {
  std::string method;
  std::vector<const RunResults*> runs;  // at least one, as given; the unfinished ones too
  ValuesByKey settings;                 // with an effect on the training, without the seed
  ValuesByKey configuration;            // every setting of the pipeline, of the first run
  std::vector<std::string> cells;       // one per column: the value for people, "-" where it has no effect
  bool settings_known() const { return runs.front()->provenance.has_value(); }
};

// Something in which the groups of a table differ: a setting, a store or file by the first digits of its
// content.
struct SettingColumn {
  std::string key;      // "augment.p_aug"; of stores the stage, of files the name in Provenance::inputs
  std::string heading;  // the shortest that is clear in this table: "p_aug"
};

struct GroupedRuns {
  std::vector<SettingColumn> columns;
  std::vector<RunGroup> groups;  // plain first, then by method; known settings before unknown, then by cells
};

// The groups of one table. `runs` must outlive the result.
GroupedRuns group_runs(const std::vector<const RunResults*>& runs);

// Keys of what makes a difference between two methods unfair: whatever both trained with and is unequal. What
// only one method has (probabilities of combinations, stores of parts) is the difference that is looked for.
// Both groups' settings must be known.
std::vector<std::string> unequal_beside_method(const RunGroup& one, const RunGroup& other);

// A JSON object by section, or flat by dotted key, or both mixed, as one flat map. DataError naming `where`
// when the text is no JSON object.
ValuesByKey values_by_key(const std::string& json, const std::string& where);

}  // namespace deda::report
