// Ranks that hang or die: the job ends soon, with a message, and never with exit code 0.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

namespace {

struct Outcome {
  int exit_code = -1;
  double seconds = 0;
  std::string output;
};

// Runs the fault program on `ranks` ranks in an environment of its own (this test's process is an MPI process
// already).
Outcome run_job(const std::string& fault, int ranks, const std::string& variables) {
  const std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "OMPI_MCA_rmaps_base_oversubscribe=1 "
      "OMPI_MCA_hwloc_base_binding_policy=none " +
      variables + " timeout -s KILL 30 " MPIEXEC " -n " + std::to_string(ranks) + " " FAULT_PROGRAM " " +
      fault + " 2>&1";
  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

TEST(Faults, ARankThatStaysAwayFromABarrierIsReportedByNameAndTheJobEnds) {
  const Outcome outcome = run_job("stay-away", 3, "DEDA_TIMEOUT_S=2");
  EXPECT_EQ(outcome.exit_code, 7) << outcome.output;
  EXPECT_NE(outcome.output.find("barrier (end of the epoch)"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("waited 2 s"), std::string::npos) << outcome.output;
  EXPECT_LT(outcome.seconds, 15.0);
}

TEST(Faults, AKilledRankEndsTheWholeJobWithinSeconds) {
  const Outcome outcome = run_job("die", 3, "DEDA_TIMEOUT_S=600");
  EXPECT_NE(outcome.exit_code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("signal 9"), std::string::npos) << outcome.output;
  EXPECT_LT(outcome.seconds, 15.0);
}

TEST(Faults, AnErrorOnOneRankAloneEndsTheJob) {
  const Outcome outcome = run_job("throw-on-one-rank", 3, "DEDA_TIMEOUT_S=600");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
  EXPECT_NE(outcome.output.find("CAUGHT only here"), std::string::npos) << outcome.output;
  EXPECT_LT(outcome.seconds, 15.0);
}

}  // namespace
