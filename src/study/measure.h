// Short runs of each kind of item, so that a study's costs are known before its first item has ended
// (`deda study plan --measure`): every kind at two sizes, whose difference is the cost of a unit and whose
// rest is the cost of a start.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "study/costs.h"
#include "study/study_plan.h"

namespace deda::study {

// A kind's two short runs, as positions in the items of ShortRuns::plan.
struct ShortRun {
  std::string kind;  // kind_of() of the items that it stands for
  std::size_t small = 0, large = 0;
};

struct ShortRuns {
  StudyPlan plan;  // in OUTPUT/study-NAME/measure, for drive()
  std::vector<ShortRun> runs;
};

// Of each kind that is left to do, one item's configuration made small: at least 30 optimizer steps for a
// training, some pictures, steps and copies for the other stages. Kinds in `known` are left out. The toy
// dataset is drawn whole, where it belongs: all others need it. `on_cpu`: networks that decouple get fewer
// pictures. Errors as plan_study().
ShortRuns short_runs_of(const StudyPlan& plan, const std::map<std::string, MeasuredKind>& known, bool on_cpu,
                        FileDigests& digests);

// Their results are of no use to anybody and go; logs and ledger stay. Stores that a setting names are
// somebody's and are not touched, nor is the toy dataset.
void remove_results(const ShortRuns& runs);

// What the runs' ledgers say. Kinds of which a run has not ended are left out.
std::map<std::string, MeasuredKind> measured_by(const ShortRuns& runs);

// OUTPUT/study-NAME/measured.json. Reading gives nothing where there is none; DataError where it is something
// else.
void write_measured(const std::filesystem::path& study_folder,
                    const std::map<std::string, MeasuredKind>& kinds);
std::map<std::string, MeasuredKind> read_measured(const std::filesystem::path& study_folder);

}  // namespace deda::study
