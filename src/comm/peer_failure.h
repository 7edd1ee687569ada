// The error of a rank whose work ended because another rank's did.
#pragma once

#include <string>

#include "core/error.h"

namespace deda::comm {

// Has the exit code of the failure that it follows from, so that the origin decides how the job ends.
// jobs/end_together prints the origin's own message in its place where it can.
struct PeerFailure : Error {
  PeerFailure(int failed_rank, ExitCode code, std::string what, std::string message = {})
      : Error(code, std::move(what)), origin{failed_rank}, said{std::move(message)} {}
  int origin;        // the rank whose failure came first
  std::string said;  // the beginning of its message; empty where only its failure is known
};

}  // namespace deda::comm
