// Signals, deadlines and the scheduler's end time all become the same flag.
#include "core/stop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "core/error.h"

namespace deda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Stop : public testing::Test {
 protected:
  void SetUp() override {
    clear_stop_request();
    unsetenv("DEDA_DEADLINE_S");
    unsetenv("SLURM_JOB_END_TIME");
    unsetenv("SLURM_JOB_START_TIME");
  }
  void TearDown() override { SetUp(); }
};

TEST_F(Stop, IsNotRequestedAtFirst) {
  EXPECT_FALSE(stop_requested());
  EXPECT_EQ(stop_reason(), "");
}

TEST_F(Stop, FollowsEachSignalWithItsName) {
  install_stop_signals();
  for (const auto& [number, name] :
       {std::pair{SIGTERM, "TERM"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}, {SIGINT, "INT"}}) {
    clear_stop_request();
    raise(number);
    EXPECT_TRUE(stop_requested());
    EXPECT_THAT(stop_reason(), HasSubstr(name));
  }
}

TEST_F(Stop, EndsTheProcessAtTheSecondInterrupt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_stop_signals();
        raise(SIGINT);
        if (!stop_requested()) std::exit(1);
        raise(SIGINT);
        std::exit(2);
      },
      testing::KilledBySignal(SIGINT), "");
}

TEST_F(Stop, FollowsTheEarliestDeadline) {
  set_deadline(3600);
  EXPECT_FALSE(stop_requested());
  set_deadline(-1);
  EXPECT_TRUE(stop_requested());
  EXPECT_EQ(stop_reason(), "the time limit is near");
  set_deadline(3600);
  EXPECT_TRUE(stop_requested());
}

TEST_F(Stop, LeavesTheMarginBeforeTheEndOfTheAllocation) {
  setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 200).c_str(), 1);
  set_deadline_from_environment(100);
  EXPECT_FALSE(stop_requested());
  set_deadline_from_environment(300);
  EXPECT_TRUE(stop_requested());
}

TEST_F(Stop, TakesAnEndThatIsNoTimeOrPastForUnknownAndSaysSo) {
  for (const std::string& end :
       {std::string{"N/A"}, std::string{"Unknown"}, std::string{"0"}, std::string{"2026-01-01T00:00:00"},
        std::to_string(std::time(nullptr) - 3600)}) {
    setenv("SLURM_JOB_END_TIME", end.c_str(), 1);
    const auto notes = set_deadline_from_environment();
    EXPECT_FALSE(stop_requested()) << end;
    EXPECT_THAT(notes, testing::ElementsAre(AllOf(HasSubstr(end), HasSubstr("not known"))));
  }
  unsetenv("SLURM_JOB_END_TIME");
  EXPECT_THAT(set_deadline_from_environment(), testing::IsEmpty());
}

TEST_F(Stop, ShrinksTheMarginOfAShortLimitAndSaysSo) {
  const auto now = std::time(nullptr);
  setenv("SLURM_JOB_START_TIME", std::to_string(now).c_str(), 1);
  setenv("SLURM_JOB_END_TIME", std::to_string(now + 240).c_str(), 1);
  const auto notes = set_deadline_from_environment();
  EXPECT_FALSE(stop_requested());
  EXPECT_THAT(notes, testing::ElementsAre(AllOf(HasSubstr("240 s is short"), HasSubstr("60 s before"))));
  setenv("SLURM_JOB_START_TIME", std::to_string(now - 200).c_str(), 1);
  setenv("SLURM_JOB_END_TIME", std::to_string(now + 40).c_str(), 1);
  set_deadline_from_environment();
  EXPECT_TRUE(stop_requested()) << "40 s are left, 60 s are the margin";
}

TEST_F(Stop, LeavesTheWholeMarginOfALongLimit) {
  EXPECT_EQ(stop_margin(8 * 3600.0), most_margin_s);
  EXPECT_EQ(stop_margin(300.0), 75.0);
  const auto now = std::time(nullptr);
  setenv("SLURM_JOB_START_TIME", std::to_string(now - 7200).c_str(), 1);
  setenv("SLURM_JOB_END_TIME", std::to_string(now + 299).c_str(), 1);
  EXPECT_THAT(set_deadline_from_environment(), testing::IsEmpty());
  EXPECT_TRUE(stop_requested());
}

TEST_F(Stop, ReadsItsOwnDeadlineFromTheEnvironment) {
  setenv("DEDA_DEADLINE_S", "0", 1);
  set_deadline_from_environment();
  EXPECT_TRUE(stop_requested());
}

TEST_F(Stop, RefusesADeadlineThatIsNoNumber) {
  setenv("DEDA_DEADLINE_S", "soon", 1);
  EXPECT_THROW(set_deadline_from_environment(), ConfigError);
}

TEST_F(Stop, CanBeAskedForWithAReason) {
  request_stop("the disk is nearly full");
  EXPECT_TRUE(stop_requested());
  EXPECT_EQ(stop_reason(), "the disk is nearly full");
}

}  // namespace
}  // namespace deda
