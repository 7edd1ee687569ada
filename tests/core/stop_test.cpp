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

using testing::HasSubstr;

class Stop : public testing::Test {
 protected:
  void SetUp() override {
    clear_stop_request();
    unsetenv("DEDA_DEADLINE_S");
    unsetenv("SLURM_JOB_END_TIME");
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
