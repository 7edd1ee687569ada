// Runs a study's items on a launcher's slots until all are done, beside any number of other drivers of the
// same output folder. Holds no lock while it works; killed at any moment, nothing that was finished is done
// again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "study/claims.h"
#include "study/costs.h"
#include "study/launcher.h"
#include "study/ledger.h"
#include "study/study_plan.h"

namespace deda::study {

struct DriverOptions {
  bool retry_failed = false;  // what has failed may be tried again
  Machine machine = Machine::cpu_core;
  std::map<std::string, MeasuredKind> short_runs = {};  // for costs
  std::int64_t most_slots = 0;  // of one item that can use several; 0: all that are free
  double lease_s = study::lease_s;
  double most_stop_s = 120;    // after which a run that was asked to stop is killed
  double stop_margin_s = 120;  // before the end of the allocation
  double least_start_s = 300;  // nothing is started with less time left than start-up and this
  std::function<void(const std::string&)> tell = [](const std::string&) {};  // a line for people
};

struct Failure {
  std::string item, title, message, log;
};

struct DriverResult {
  std::int64_t items = 0, done = 0, started = 0;
  std::vector<Failure> failed;
  std::vector<std::string> blocked;  // items that need one of those, by name
  bool stopped = false;              // in time: the same call goes on
  std::string stop_reason;  // why nothing more was started: a signal, the time, failures that are alike
};

// IoError where the study's folder cannot be written; DataError where plan.json there is of another study.
DriverResult drive(const StudyPlan& plan, Launcher& launcher, const DriverOptions& options);

}  // namespace deda::study
