// The command line of `deda` as data. Knows nothing of MPI: rank 0 prints what comes out of it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "jobs/job.h"

namespace deda::jobs {

struct CommandLine {
  const Job* job = nullptr;  // null: only `text` is wanted
  std::string text;          // --help, --version: print to standard output and end
  ConfigSources sources;
  CommonOptions options;
  std::optional<std::filesystem::path> output;
  bool print_config = false;
  bool help_config = false;
  bool verbose = false;
};

// The jobs' own options are filled as they stand in Job::add_options. Throws ConfigError with the nearest
// valid name for a subcommand or an option that does not exist.
CommandLine parse_command_line(const std::vector<Job>& jobs, const std::vector<std::string>& left_out,
                               int argc, const char* const* argv);

}  // namespace deda::jobs
