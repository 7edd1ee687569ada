// The report of a study as one HTML page, and as all the files that `deda study report` writes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/page.h"
#include "study/cell_run.h"
#include "study/study_file.h"
#include "study/timeline.h"

namespace deda::study {

// Predicted against used time of one kind of work.
struct CostRow {
  std::string kind;  // "train resnet18 448px"
  std::int64_t items = 0;
  std::optional<double> predicted_hours, used_hours;  // of a slot; nothing: not predicted, not run
};

// What the ledger knows and the runs do not.
struct StudyHistory {
  std::vector<CostRow> costs;           // shown in this order
  std::vector<TimelineEntry> timeline;  // in any order
};

// Equal runs count once, however many cells they stand in.
struct RunCounts {
  std::size_t done = 0, running = 0, waiting = 0, failed = 0, blocked = 0;
  std::size_t all() const { return done + running + waiting + failed + blocked; }
  bool is_complete() const { return done == all(); }
};
RunCounts count_runs(const std::vector<CellRun>& runs);

// "87 of 108 runs are done: 3 running, 18 waiting."
std::string words_of(const RunCounts& counts);

// All of a study: a headline, tables, figures, costs, the timeline, what has not run and why, and where every
// number comes from. A pure function, in any order of `runs`.
report::Page study_page(const Study& study, const std::vector<CellRun>& runs, const StudyHistory& history);

// Files by name: report.html, report.txt, and for each table NAME.csv, NAME-seeds.csv and NAME.tex, for each
// figure NAME.csv; NAME is its title in small letters. The same bytes for the same runs in any order.
std::map<std::string, std::string> report_files(const Study& study, const std::vector<CellRun>& runs,
                                                const StudyHistory& history);

}  // namespace deda::study
