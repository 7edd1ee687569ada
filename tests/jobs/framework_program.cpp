// A program with the framework of `deda` and jobs that fail in every way, for framework_test.cpp to run under
// mpirun.
#include <chrono>
#include <csignal>
#include <new>
#include <stdexcept>
#include <thread>

#include "core/log.h"
#include "core/stop.h"
#include "jobs/run_job.h"

namespace {

using deda::ExitCode;
using deda::jobs::Job;
using deda::jobs::JobContext;

Job job(const std::string& name, std::function<ExitCode(JobContext&)> run) {
  return {
      .name = name, .summary = "a job of the test", .example = {}, .add_options = {}, .run = std::move(run)};
}

int last(const JobContext& context) {
  return context.ranks.size() - 1;
}

ExitCode wait_for_stop(JobContext& context) {
  constexpr auto longest = std::chrono::seconds{20};
  const auto start = std::chrono::steady_clock::now();
  deda::log_info("waiting");
  while (!context.ranks.any(deda::stop_requested())) {
    if (std::chrono::steady_clock::now() - start > longest) return ExitCode::failure;
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  throw deda::Stopped("epoch 3 of 7 is saved");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Job> jobs;
  jobs.push_back(job("succeed", [](JobContext&) { return ExitCode::done; }));
  jobs.push_back(job("fail-together", [](JobContext& context) -> ExitCode {
    context.ranks.agree("reading", [&] {
      if (context.ranks.rank() == last(context))
        throw deda::DataError(
            {{"the first thing is broken", "a.jpg", ""}, {"the second thing too", "b.jpg", "Repair it."}});
    });
    return ExitCode::done;
  }));
  jobs.push_back(job("held", [](JobContext& context) -> ExitCode {
    context.ranks.agree("locking", [&] {
      if (context.ranks.is_root()) throw deda::FolderHeld("another run writes this folder", "runs", "Wait.");
    });
    return ExitCode::done;
  }));
  jobs.push_back(job("stop-at-epoch", [](JobContext&) -> ExitCode {
    throw deda::Stopped("stopped at epoch 1, step 2 of 3: signal 12 (USR2)");
  }));
  jobs.push_back(job("fail-alone", [](JobContext& context) {
    if (context.ranks.rank() == last(context)) throw deda::IoError("disk full", "store/0.h5", "Free space.");
    context.ranks.barrier("work");
    return ExitCode::done;
  }));
  jobs.push_back(job("fail-at-the-end", [](JobContext& context) {
    if (context.ranks.rank() == last(context))
      throw deda::DataError("broken picture", "c.jpg", "Replace it.");
    return ExitCode::done;
  }));
  jobs.push_back(job("fail-on-rank-0", [](JobContext& context) {
    if (context.ranks.rank() == 0) throw deda::DataError("broken picture", "c.jpg", "Replace it.");
    context.ranks.barrier("work");
    return ExitCode::done;
  }));
  // The last rank fails in an agreement, while the others wait where its notice does not reach them.
  jobs.push_back(job("fail-while-others-wait-elsewhere", [](JobContext& context) {
    const auto elsewhere = context.ranks.duplicate();
    context.ranks.agree("reading", [&] {
      if (context.ranks.rank() == last(context))
        throw deda::DataError("broken picture", "c.jpg", "Replace it.");
      elsewhere.barrier("another communicator");
    });
    return ExitCode::done;
  }));
  jobs.push_back(job("fail-while-others-do-not-agree", [](JobContext& context) {
    if (context.ranks.rank() == last(context))
      context.ranks.agree("reading", [] { throw deda::DataError("broken picture", "c.jpg", "Replace it."); });
    context.ranks.barrier("no agreement");
    return ExitCode::done;
  }));
  jobs.push_back(job("fail-and-be-missed", [](JobContext& context) {
    if (context.ranks.rank() == last(context))
      throw deda::DataError("broken picture", "c.jpg", "Replace it.");
    throw deda::CommError("the connection was closed");
    return ExitCode::done;
  }));
  jobs.push_back(job("be-stopped", [](JobContext& context) {
    if (context.ranks.rank() == last(context)) std::raise(SIGSTOP);
    context.ranks.barrier("work");
    return ExitCode::done;
  }));
  jobs.push_back(job("run-out-of-memory", [](JobContext&) -> ExitCode { throw std::bad_alloc{}; }));
  jobs.push_back(job("throw-foreign", [](JobContext&) -> ExitCode {
    throw std::runtime_error("shape mismatch\nException raised from f at x.cpp");
  }));
  jobs.push_back(job("throw-number", [](JobContext&) -> ExitCode { throw 7; }));
  jobs.push_back(job("return-data", [](JobContext& context) {
    return context.ranks.is_root() ? ExitCode::data : ExitCode::done;
  }));
  jobs.push_back(job("wait", wait_for_stop));
  return deda::jobs::run_program(jobs, {"train"}, argc, argv);
}
