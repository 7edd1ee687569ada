// A run as the tables see it: which cell wants it, how far it is, and its numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_results.h"
#include "study/study_file.h"

namespace deda::study {

enum class RunState : std::uint8_t {
  done,
  running,
  waiting,  // nothing of it has begun, or it was stopped in time and will go on
  failed,
  blocked,  // something that it needs has failed
};
std::string_view name_of(RunState state);

struct CellRun {
  Labels labels;     // of every axis and varied key of its grid: "method" -> "De-DA"
  std::string grid;  // by name
  std::int64_t seed = 0;
  std::string key;  // of the training: equal keys are one run, in however many cells it stands
  std::filesystem::path folder;
  RunState state = RunState::waiting;
  std::string reason;                         // of failed and blocked, one line; how far, of running ones
  std::optional<report::RunResults> results;  // of done ones only
};

// What the numbers of these runs are, for captions and axes, of that group: "top-1 accuracy", of several
// labels "exact match", or the name of the metric that the group is; both where runs differ.
std::string score_title(const std::vector<const CellRun*>& runs, const std::string& group);

}  // namespace deda::study
