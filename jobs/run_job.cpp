#include "jobs/run_job.h"

#include <algorithm>
#include <cstdio>

#include "core/log.h"
#include "core/stop.h"
#include "jobs/command_line.h"
#include "jobs/end_together.h"

namespace deda::jobs {

namespace {

void print_to_output(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

ExitCode run_command(const std::vector<Job>& jobs, const std::vector<std::string>& left_out, int argc,
                     char** argv, const comm::MpiEnvironment& mpi, const comm::Communicator& ranks) {
  const CommandLine line = parse_command_line(jobs, left_out, argc, argv);
  if (line.job == nullptr) {
    if (ranks.is_root()) print_to_output(line.text);
    return ExitCode::done;
  }
  set_up_log(ranks.rank(), ranks.size(), line.verbose ? LogLevel::debug : LogLevel::info);
  if (line.help_config) {
    if (ranks.is_root()) print_to_output(help_config(PipelineConfig{}));
    return ExitCode::done;
  }
  JobContext context{.ranks = ranks,
                     .config = {},
                     .sources = line.sources,
                     .output = line.output,
                     .options = line.options,
                     .mpi_from_any_thread = mpi.thread_multiple()};
  if (line.job->takes_config) read_config(context.config, line.sources);
  if (line.output) context.config.run.output = *line.output;
  if (line.print_config) {
    if (ranks.is_root()) print_to_output(print_config(context.config));
    return ExitCode::done;
  }
  install_stop_signals();
  if (context.config.run.time_limit_s > 0) set_deadline(context.config.run.time_limit_s);
  for (const auto& note : set_deadline_from_environment()) {
    if (ranks.is_root()) log_warning("{}", note);
  }
  return line.job->run(context);
}

}  // namespace

namespace {

// Without MPI: the arguments are read, the job runs, errors are told; nobody has to agree.
ExitCode run_alone(const std::vector<Job>& jobs, const std::vector<std::string>& left_out, int argc,
                   char** argv) {
  set_up_log(0, 1);
  const CommandLine line = parse_command_line(jobs, left_out, argc, argv);
  if (line.job == nullptr) {
    print_to_output(line.text);
    return ExitCode::done;
  }
  set_up_log(0, 1, line.verbose ? LogLevel::debug : LogLevel::info);
  install_stop_signals();
  return line.job->run_alone();
}

}  // namespace

int run_program(const std::vector<Job>& jobs, const std::vector<std::string>& left_out, int argc,
                char** argv) {
  try {
    const auto chosen = std::find_if(jobs.begin(), jobs.end(),
                                     [&](const Job& job) { return argc > 1 && job.name == argv[1]; });
    if (chosen != jobs.end() && chosen->run_alone)
      return static_cast<int>(run_alone(jobs, left_out, argc, argv));
    comm::MpiEnvironment mpi(argc, argv);
    const auto ranks = comm::Communicator::world();
    const auto ends = comm::Communicator::endings();
    set_up_log(ranks.rank(), ranks.size());
    if (ranks.size() > 1 && ranks.is_root() && !mpi.has_heartbeat())
      log_warning(
          "the ranks cannot tell a slow rank from a dead one (MPI_THREAD_MULTIPLE was not granted, or "
          "DEDA_HEARTBEAT "
          "is off): whoever waits {:.0f} s gives up; set DEDA_TIMEOUT_S higher than the longest unit of work "
          "takes",
          comm::Communicator::timeout_s());
    return static_cast<int>(
        end_together(ends, [&] { return run_command(jobs, left_out, argc, argv, mpi, ranks); }));
  } catch (...) {
    // MPI did not start, or the ranks did not meet at the end: nobody to agree with.
    return static_cast<int>(report_current_error());
  }
}

}  // namespace deda::jobs
