// From the command line to the exit code: parse, read the configuration, run the job on every rank, end
// together.
#pragma once

#include <string>
#include <vector>

#include "jobs/job.h"

namespace deda::jobs {

// Owns MPI for the length of the program. Returns the exit code of the process (core/error.h), the same on
// every rank. `left_out` names the subcommands that this build does not have, to say so instead of "unknown".
int run_program(const std::vector<Job>& jobs, const std::vector<std::string>& left_out, int argc,
                char** argv);

}  // namespace deda::jobs
