// How jobs end, with one rank and with several: one message, one exit code, nobody left waiting.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "command.h"
#include "jobs/job.h"

namespace deda::jobs {
namespace {

using test::CommandResult;
using test::run_command;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CommandResult alone(const std::string& arguments) {
  return run_command(DEDA_FRAMEWORK_PROGRAM " " + arguments);
}
CommandResult on_three_ranks(const std::string& arguments) {
  return run_command("DEDA_END_GRACE_S=1 " DEDA_MPIEXEC " -n 3 " DEDA_FRAMEWORK_PROGRAM " " + arguments);
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ExitCodes, SayHowAJobEnded) {
  EXPECT_EQ(alone("succeed").code, 0);
  EXPECT_EQ(alone("fail-together").code, 3);
  EXPECT_EQ(alone("fail-alone").code, 1);
  EXPECT_EQ(alone("return-data").code, 3);
}

TEST(Messages, ListEveryProblemWithPlaceAndCure) {
  const CommandResult result = alone("fail-together");
  EXPECT_THAT(result.errors,
              AllOf(HasSubstr("deda: 2 problems:\n"), HasSubstr("  a.jpg: the first thing is broken\n"),
                    HasSubstr("  b.jpg: the second thing too. Repair it.\n")));
  EXPECT_EQ(result.output, "");
  EXPECT_THAT(alone("fail-alone").errors, HasSubstr("deda: error: store/0.h5: disk full. Free space.\n"));
}

TEST(Messages, CoverWhatOthersThrow) {
  EXPECT_THAT(alone("run-out-of-memory").errors, HasSubstr("out of memory"));
  const CommandResult foreign = alone("throw-foreign");
  EXPECT_EQ(foreign.code, 1);
  EXPECT_THAT(foreign.errors, AllOf(HasSubstr("shape mismatch\n"), Not(HasSubstr("Exception raised"))));
  EXPECT_EQ(alone("throw-number").code, 1);
}

TEST(SeveralRanks, PrintAnAgreedErrorOnce) {
  const CommandResult result = on_three_ranks("fail-together");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(count_of(result.errors, "the first thing is broken"), 1u) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("rank 2"));
}

TEST(SeveralRanks, AreAllEndedByTheOneThatFailedAlone) {
  const auto start = std::chrono::steady_clock::now();
  const CommandResult result = on_three_ranks("fail-alone");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds{30});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(count_of(result.errors, "[rank 2] deda: error: store/0.h5: disk full"), 1u) << result.errors;
}

TEST(SeveralRanks, AreAllEndedByRankZeroThatPrintsAtOnce) {
  const CommandResult result = on_three_ranks("fail-on-rank-0");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(count_of(result.errors, "deda: error: c.jpg: broken picture. Replace it."), 1u) << result.errors;
}

TEST(SeveralRanks, LetRankZeroSpeakForOneThatFailedAtTheEnd) {
  const CommandResult result = on_three_ranks("fail-at-the-end");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(count_of(result.errors, "[rank 2] deda: error: c.jpg: broken picture"), 1u) << result.errors;
}

TEST(SeveralRanks, PrintACommandLineErrorOnce) {
  const CommandResult result = on_three_ranks("sucseed");
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(count_of(result.errors, "Did you mean \"succeed\"?"), 1u) << result.errors;
}

// Failures while others wait where they do not hear of it by themselves: what the failed rank met decides
// message and code, on 2 to 4 ranks and long before the limit for dead ranks.
class OthersWait : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    // The one that failed must not have to end the others.
    variables = "DEDA_END_GRACE_S=40 DEDA_TIMEOUT_S=20 ";
    last = std::to_string(GetParam() - 1);
  }
  CommandResult run(const std::string& job) const {
    return run_command(variables + DEDA_MPIEXEC " -n " + std::to_string(GetParam()) +
                       " " DEDA_FRAMEWORK_PROGRAM " " + job);
  }
  std::string variables, last;
};

TEST_P(OthersWait, WhileARankFailsAlone) {
  const CommandResult result = run("fail-alone");
  EXPECT_EQ(result.code, 1) << result.errors;
  EXPECT_EQ(count_of(result.errors, "[rank " + last + "] deda: error: store/0.h5: disk full. Free space."),
            1u)
      << result.errors;
  EXPECT_THAT(result.errors, Not(HasSubstr("ends them all")));
}

TEST_P(OthersWait, WhileARankFailsInAnAgreementThatTheyHaveNotReached) {
  const CommandResult result = run("fail-while-others-wait-elsewhere");
  EXPECT_EQ(result.code, 3) << result.errors;
  EXPECT_EQ(count_of(result.errors, "deda: error: rank " + last + ": c.jpg: broken picture. Replace it."), 1u)
      << result.errors;
}

TEST_P(OthersWait, WhileARankFailsInAnAgreementThatTheyDoNotTakePartIn) {
  const CommandResult result = run("fail-while-others-do-not-agree");
  EXPECT_EQ(result.code, 3) << result.errors;
  EXPECT_EQ(count_of(result.errors, "[rank " + last + "] deda: error: c.jpg: broken picture. Replace it."),
            1u)
      << result.errors;
}

TEST_P(OthersWait, OrNoticeOnlyThatItIsGone) {
  const CommandResult result = run("fail-and-be-missed");
  EXPECT_EQ(result.code, 3) << result.errors;
  EXPECT_EQ(count_of(result.errors, "[rank " + last + "] deda: error: c.jpg: broken picture. Replace it."),
            1u)
      << result.errors;
}

TEST_P(OthersWait, ForOneThatIsStoppedForEver) {
  variables = "DEDA_TIMEOUT_S=2 ";
  const CommandResult result = run("be-stopped");
  EXPECT_EQ(result.code, 1) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("in barrier (work) and gave up: rank " + last + " on host "));
  EXPECT_THAT(result.errors, HasSubstr("was not heard for"));
}

INSTANTIATE_TEST_SUITE_P(Ranks, OthersWait, testing::Values(2, 3, 4));

TEST(SeveralRanks, EndWith76WhereAnotherRunHoldsTheFolder) {
  const CommandResult result = on_three_ranks("held");
  EXPECT_EQ(result.code, 76);
  EXPECT_EQ(count_of(result.errors, "another run writes this folder. Wait."), 1u) << result.errors;
}

TEST(SeveralRanks, ShareTheCodeOfOne) {
  EXPECT_EQ(on_three_ranks("return-data").code, 3);
}

TEST(Stopping, FollowsASignal) {
  // The signal comes once the job says that it waits: on a busy machine a program takes seconds to start.
  const CommandResult result =
      run_command("log=$(mktemp); " DEDA_FRAMEWORK_PROGRAM
                  " wait 2>$log & program=$!; "
                  "for i in $(seq 300); do grep -q waiting $log && break; sleep 0.1; done; "
                  "kill -USR2 $program; wait $program; code=$?; cat $log >&2; rm $log; exit $code");
  EXPECT_EQ(result.code, 75);
  EXPECT_THAT(result.errors,
              HasSubstr("deda: stopped: epoch 3 of 7 is saved. Run the same command to continue."));
}

TEST(Stopping, SaysOnceThatItStopped) {
  const CommandResult result = alone("stop-at-epoch");
  EXPECT_EQ(result.code, 75);
  EXPECT_THAT(result.errors, HasSubstr("deda: stopped at epoch 1, step 2 of 3: signal 12 (USR2). Run"));
}

TEST(Stopping, DoesNotTakeAnUnknownEndForOne) {
  for (const char* end : {"N/A", "0", "1700000000"}) {
    const CommandResult result =
        run_command(fmt::format("SLURM_JOB_END_TIME={} {} succeed", end, DEDA_FRAMEWORK_PROGRAM));
    EXPECT_EQ(result.code, 0) << result.errors;
    EXPECT_THAT(result.errors, HasSubstr("the end of this job is not known"));
  }
}

TEST(Help, NamesTheExitCodes) {
  const CommandResult result = alone("--help");
  for (const char* code : {"0 done", "2 wrong configuration", "3 ", "75 stopped", "76 another run"})
    EXPECT_THAT(result.output, HasSubstr(code));
}

TEST(Stopping, FollowsTheTimeLimitOfTheConfiguration) {
  EXPECT_EQ(alone("wait --set run.time_limit_s=0.2").code, 75);
}

TEST(Stopping, FollowsTheEndOfTheAllocation) {
  EXPECT_EQ(run_command("SLURM_JOB_END_TIME=$(($(date +%s) + 60)) " DEDA_FRAMEWORK_PROGRAM " wait").code, 75);
}

TEST(LeftOutJobs, SayHowToHaveThem) {
  const CommandResult result = alone("train");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.errors, HasSubstr("DEDA_TORCH=ON"));
}

}  // namespace
}  // namespace deda::jobs
