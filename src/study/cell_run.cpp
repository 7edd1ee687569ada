#include "study/cell_run.h"

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

}  // namespace deda::study
