// What becomes of an item after its attempts, and how ends are booked.
#include "study/policy.h"

#include <gtest/gtest.h>

#include <csignal>

namespace deda::study {
namespace {

Attempt ended(const EndFacts& facts) {
  Attempt attempt;
  attempt.ended = 100;
  book(attempt, facts);
  return attempt;
}

KnownAttempt with(Outcome outcome, bool final = false) {
  KnownAttempt known;
  known.attempt.ended = 100;
  known.attempt.outcome = outcome;
  known.attempt.final = final;
  known.attempt.message = "why";
  return known;
}

TEST(Book, TheResultDecidesWhateverTheCodeSays) {
  EXPECT_EQ(ended({.exit_code = 0, .done = true}).outcome, Outcome::done);
  EXPECT_EQ(ended({.exit_code = 143, .done = true}).outcome, Outcome::done);
  // srun gives 0 for a step whose node is gone.
  const auto lie = ended({.exit_code = 0});
  EXPECT_EQ(lie.outcome, Outcome::lost);
  EXPECT_FALSE(lie.final);
  EXPECT_NE(lie.message.find("no finished result"), std::string::npos);
}

TEST(Book, StopsAreNoFailures) {
  EXPECT_EQ(ended({.exit_code = 75}).outcome, Outcome::stopped);
  EXPECT_EQ(ended({.exit_code = 143, .asked = true}).outcome, Outcome::stopped);
  EXPECT_EQ(ended({.exit_code = 137, .asked = true}).outcome, Outcome::stopped);
  EXPECT_EQ(ended({.signal = SIGKILL, .asked = true}).outcome, Outcome::stopped);
  // A step of a job that is just being requeued.
  const std::string gone = "srun: Check SLURM_JOB_ID environment variable. Expired or invalid job 1";
  EXPECT_EQ(ended({.exit_code = 1, .asked = true, .first_error = gone}).outcome, Outcome::stopped);
  EXPECT_EQ(ended({.exit_code = 1, .first_error = gone}).outcome, Outcome::failed);
  EXPECT_EQ(ended({.exit_code = 1, .asked = true, .first_error = "no room"}).outcome, Outcome::failed);
  EXPECT_EQ(ended({.exit_code = 143}).outcome, Outcome::lost);
  EXPECT_EQ(ended({.signal = SIGKILL}).outcome, Outcome::lost);
  EXPECT_EQ(ended({.exit_code = 76}).outcome, Outcome::held);
}

TEST(Book, WhatWouldFailAlikeIsNotTriedAgain) {
  for (const int code : {2, 3}) {
    const auto attempt = ended({.exit_code = code, .first_error = "no such file"});
    EXPECT_EQ(attempt.outcome, Outcome::failed);
    EXPECT_TRUE(attempt.final);
    EXPECT_EQ(attempt.message, "no such file");
  }
  EXPECT_TRUE(ended({.exit_code = 1, .failure = "loss is no number"}).final);
  EXPECT_FALSE(ended({.exit_code = 1, .first_error = "disk full"}).final);
  EXPECT_FALSE(ended({.exit_code = 253}).final);
}

TEST(Judge, ThreeTries) {
  std::vector<KnownAttempt> attempts;
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::free);
  for (int i = 0; i < 2; ++i) {
    attempts.push_back(with(i == 0 ? Outcome::lost : Outcome::failed));
    EXPECT_EQ(judge(attempts).kind, Verdict::Kind::free);
  }
  attempts.push_back(with(Outcome::stopped));
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::free);
  attempts.push_back(with(Outcome::failed));
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::failed);
  EXPECT_EQ(judge({with(Outcome::failed, true)}).kind, Verdict::Kind::failed);
}

TEST(Judge, ADeadDriverIsNotTheItemsFault) {
  std::vector<KnownAttempt> attempts(100);
  for (auto& attempt : attempts) attempt.driver_is_dead = true;
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::free);
  attempts.back().driver_is_dead = false;
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::running);
}

TEST(Judge, WaitsForAFolderThatIsHeldAndEachTimeLonger) {
  std::vector<KnownAttempt> attempts;
  double last = 0;
  for (int i = 0; i < 6; ++i) {
    attempts.push_back(with(Outcome::held));
    const auto verdict = judge(attempts);
    ASSERT_EQ(verdict.kind, Verdict::Kind::waiting);
    const double wait = verdict.not_before - 100;
    EXPECT_GE(wait, last);
    EXPECT_LE(wait, longest_wait_s);
    last = wait;
  }
  EXPECT_EQ(last, longest_wait_s);
}

TEST(Judge, StopsWithoutProgressEndSomeTime) {
  std::vector<KnownAttempt> attempts(static_cast<std::size_t>(most_unasked_stops), with(Outcome::stopped));
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::failed);
  attempts.back().attempt.work_after = 0.1;
  EXPECT_EQ(judge(attempts).kind, Verdict::Kind::free);
}

TEST(FirstError, IsWhatAPersonWouldRead) {
  EXPECT_EQ(first_error_in("working\ndeda: error: x.h5: disk full\nlater\n"), "x.h5: disk full");
  EXPECT_EQ(first_error_in("deda: 2 problems:\n  a.toml:3: unknown key\n  b\n"), "a.toml:3: unknown key");
  EXPECT_EQ(first_error_in("one\nKilled\n\n"), "Killed");
  EXPECT_EQ(first_error_in(""), "");
  const auto cut = first_error_in("deda: error: " + std::string(1000, 'x'));
  EXPECT_LT(cut.size(), 310u);
}

}  // namespace
}  // namespace deda::study
