#include "study/cell_run.h"

#include <algorithm>

namespace deda::study {

std::string_view name_of(RunState state) {
  switch (state) {
    case RunState::done:
      return "done";
    case RunState::running:
      return "running";
    case RunState::waiting:
      return "waiting";
    case RunState::failed:
      return "failed";
    case RunState::blocked:
      return "blocked";
  }
  return "";
}

std::string score_title(const std::vector<const CellRun*>& runs, const std::string& group) {
  bool single = false, several = false;
  for (const CellRun* run : runs) {
    if (!run->results) continue;
    (run->results->objective == "multi_label" ? several : single) = true;
    const auto& further = run->results->further;
    if (several && group != report::mean_of_groups_name &&
        std::find(further.begin(), further.end(), group) != further.end())
      return group;
  }
  return !several ? "top-1 accuracy" : !single ? "exact match" : "top-1 accuracy or exact match";
}

}  // namespace deda::study
