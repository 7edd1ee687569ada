// How a study stands, from plan.json, ledgers and stage folders; no driver is needed, and nothing is changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/costs.h"
#include "study/ledger.h"
#include "study/study_page.h"
#include "study/study_plan.h"

namespace deda::study {

struct StageCount {
  std::string stage;
  std::int64_t items = 0, done = 0, running = 0, waiting = 0, stopped = 0, failed = 0, blocked = 0;
  double seconds_left = 0, seconds_in_all = 0;  // predicted slot time
  double wall_left = 0;                         // predicted, of this stage alone on all slots
  std::string source;  // "measured", "short runs", "scaled", "guess": the weakest of its items'
};

struct RunningItem {
  std::string item, title, node, device, detail;  // detail: "12 of 20 epochs"
  double since_s = 0, left_s = 0;                 // left: predicted, never below 0
  double rate = 0;                                // of trainings: pictures a second; 0: not known
};

struct FailedItem {
  std::string item, title, message, log;
  std::int64_t tries = 0;
};

struct DriverState {
  std::string id, host, user, job;
  std::int64_t slots = 0;  // 0: it did not tell
  bool alive = false;
};

struct StudyStatus {
  std::string name;
  std::vector<StageCount> stages;  // in the order of the method, those that the study has
  std::vector<RunningItem> running;
  std::vector<FailedItem> failed;
  std::vector<std::string> blocked;
  std::vector<DriverState> drivers;
  std::vector<std::string> notes;
  std::int64_t items = 0, done = 0;
  double used_s = 0;       // slot seconds of attempts that have ended or run
  double slots_busy = 0;   // share of the slots' time since the first start, 0..1; 0: nothing has run
  std::int64_t slots = 1;  // those of the drivers at work, else as many as ever worked at once, else as asked
  double left_s = 0;       // predicted wall time on these slots
  struct KindCost {
    std::string kind;
    std::int64_t items = 0;
    double predicted_s = 0, used_s = 0;  // slot time of its done items: guessed before anything ran, and used
  };
  std::vector<KindCost> kinds;
  std::vector<Attempt> attempts;  // of this study's items, by start: for the timeline
};

// `slots`: what times are told for where no driver is at work; 0: as many as ever worked at once, at least 1.
StudyStatus status_of(const StudyPlan& plan, Machine machine, std::int64_t slots = 0);
std::string to_text(const StudyStatus& status);
std::string to_json(const StudyStatus& status);

// For the report: costs and timeline.
StudyHistory history_of(const StudyStatus& status);

// The cells with what the ledgers know besides: failed, blocked and running ones with their reasons.
std::vector<CellRun> cell_runs(const StudyPlan& plan, const StudyStatus& status);

}  // namespace deda::study
