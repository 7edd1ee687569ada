// What a subcommand is: a name, a sentence, its own options, and one function that runs on every rank.
// Each jobs/<name>.cpp defines one `Job make_<name>_job()`; jobs/main.cpp lists them; jobs/command_line.cpp
// parses, jobs/run_job.cpp runs, jobs/end_together.cpp catches once and turns errors into exit codes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "core/error.h"
#include "pipeline/config.h"

// CLI11 costs seconds a file: those that add options include it themselves.
namespace CLI {
class App;
}

namespace deda::jobs {

using pipeline::PipelineConfig;

// Options that jobs/command_line.cpp adds: --verbose to every subcommand, and to those that take a
// configuration --config FILE (repeatable), --set a.b=v (repeatable), --out DIR (overrides run.output),
// --print-config, --help-config, --dry-run, --trace DIR, --trace-steps N. Here is what the jobs themselves
// look at; which of it they heed is theirs.
struct CommonOptions {
  bool dry_run = false;                        // check everything, print the plan, write nothing
  std::optional<std::filesystem::path> trace;  // folder for trace files
  std::int64_t trace_steps = 1;                // steps or items to trace
  bool configured = false;                     // a --config or --set was given
};

struct JobContext {
  const comm::Communicator& ranks;
  PipelineConfig config;                        // read and valid; the defaults where takes_config is false
  ConfigSources sources;                        // what it was read from
  std::optional<std::filesystem::path> output;  // --out, which overrules run.output
  CommonOptions options;
  bool mpi_from_any_thread = true;  // MPI granted MPI_THREAD_MULTIPLE
};

// --trace of a stage that was finished before.
inline std::string nothing_traced(const std::filesystem::path& finished) {
  return "nothing is traced: this is done already. Give the traced call a folder of its own with --out, or "
         "remove " +
         finished.string();
}

struct Job {
  std::string name;
  std::string summary;                         // one sentence, for `deda --help`
  std::string example;                         // one command line, for `deda NAME --help`
  std::function<void(CLI::App&)> add_options;  // the job's own flags and positional arguments; may be empty
  std::function<ExitCode(JobContext&)> run;    // throws deda::Error; called on every rank
  bool takes_config = true;                    // false: of the common options only --verbose (forward)
  // Instead of `run`: one process without MPI, whatever started it (`deda study` starts MPI programs itself).
  std::function<ExitCode()> run_alone = nullptr;
};

}  // namespace deda::jobs
