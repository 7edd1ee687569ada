// Ranks that hang or die: the job ends soon, with a message, and never with exit code 0.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

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
      "OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_btl_vader_single_copy_mechanism=none " +
      variables + " timeout -s KILL 60 " MPIEXEC " -n " + std::to_string(ranks) + " " FAULT_PROGRAM " " +
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

void expect_text(const Outcome& outcome, const std::string& text) {
  EXPECT_NE(outcome.output.find(text), std::string::npos) << "no \"" << text << "\" in:\n" << outcome.output;
}

// The machine may be busy: times are told apart from DEDA_TIMEOUT_S's default of 600, not measured.
constexpr double soon_s = 25.0;
const std::string limit_of_two = "DEDA_TIMEOUT_S=2";

class SlowRanks : public testing::TestWithParam<int> {
 protected:
  void expect_finished(const std::string& job) {
    const Outcome outcome = run_job(job, GetParam(), limit_of_two);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    expect_text(outcome, "FINISHED");
  }
};

class DeadRanks : public testing::TestWithParam<int> {
 protected:
  std::string last() const { return std::to_string(GetParam() - 1); }
  void expect_given_up(const std::string& job, const std::vector<std::string>& texts) {
    const Outcome outcome = run_job(job, GetParam(), limit_of_two);
    EXPECT_EQ(outcome.exit_code, 7) << outcome.output;
    for (const std::string& text : texts) expect_text(outcome, text);
    EXPECT_EQ(outcome.output.find("FINISHED"), std::string::npos);
    EXPECT_LT(outcome.seconds, soon_s);
  }
};

TEST_P(SlowRanks, AreWaitedForHoweverLongTheyWork) {
  const Outcome outcome = run_job("slow", GetParam(), limit_of_two);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  expect_text(outcome, "FINISHED");
  EXPECT_GE(outcome.seconds, 6.0);
  expect_text(outcome, "waiting: rank");
  expect_text(outcome, "in barrier (end of the unit)");
  expect_text(outcome, "rank " + std::to_string(GetParam() - 1) + ": at work");
}
TEST_P(SlowRanks, AreWaitedForWhereItIsRankZero) {
  expect_finished("slow-zero");
}
TEST_P(SlowRanks, AreWaitedForWhereTheyMostlySleep) {
  expect_finished("slow-mostly-sleeping");
}
TEST_P(SlowRanks, AreWaitedForByThoseWithoutATicket) {
  expect_finished("slow-unit");
}
TEST_P(SlowRanks, MayHaveAThreadThatWaitsBesideTheirWork) {
  expect_finished("wait-beside-work");
}
TEST_P(SlowRanks, MayBeStoppedForHalfTheLimit) {
  expect_finished("stopped-short");
}
TEST_P(SlowRanks, MayBeStoppedForHalfTheLimitWhereItIsRankZero) {
  expect_finished("stopped-short-zero");
}
TEST_P(SlowRanks, MayBeStoppedForLongWhileNobodyNeedsThem) {
  expect_finished("stopped-unnoticed");
}

TEST_P(DeadRanks, ThatNeitherWorkNorWaitAreNamed) {
  expect_given_up("stay-away", {"barrier (end of the epoch)", "rank " + last() + " on host ", "is stuck"});
}
TEST_P(DeadRanks, ThatAreStoppedAreNamed) {
  expect_given_up("stopped-long",
                  {"barrier (nobody is stopped)", "rank " + last() + " on host ", "was not heard for"});
}
TEST_P(DeadRanks, ThatAreStoppedAreNamedWhereItIsRankZero) {
  expect_given_up("stopped-long-zero",
                  {"barrier (nobody is stopped)", "rank 0 on host ", "was not heard for"});
}
TEST_P(DeadRanks, ThatWaitForEachOtherAreListedWithTheirPlaces) {
  expect_given_up("deadlock", {"all ranks wait for each other", "rank 0: in barrier (first this)",
                               "in barrier (first that)"});
}
TEST_P(DeadRanks, ThatWaitForOneThatIsThroughAreListed) {
  const Outcome outcome = run_job("leave-early", GetParam(), limit_of_two);
  EXPECT_NE(outcome.exit_code, 0) << outcome.output;
  expect_text(outcome, "rank " + last() + ": at the end of the work");
  EXPECT_LT(outcome.seconds, soon_s);
}

INSTANTIATE_TEST_SUITE_P(Ranks, SlowRanks, testing::Values(2, 3, 4));
INSTANTIATE_TEST_SUITE_P(Ranks, DeadRanks, testing::Values(2, 3, 4));

TEST(Faults, WithoutAHeartbeatAWaitEndsByTheClock) {
  const Outcome outcome = run_job("slow", 2, limit_of_two + " DEDA_HEARTBEAT=off");
  EXPECT_EQ(outcome.exit_code, 7) << outcome.output;
  expect_text(outcome, "rank 0 waited 2 s in barrier (end of the unit) and gave up");
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
