// Slow or dead: what rank 0 concludes from what it knows of the ranks.
#include "comm/judgement.h"

#include <gtest/gtest.h>

namespace deda::comm {
namespace {

constexpr double limit_s = 600;

RankState working(double quiet_s = 1) {
  return {.host = "n1", .activity = {.quiet_s = quiet_s}};
}
RankState waiting(double waited_s, double quiet_s,
                  const std::string& operation = "barrier (end of the epoch)") {
  return {.host = "n2",
          .activity = {.waits = true, .waited_s = waited_s, .operation = operation, .quiet_s = quiet_s}};
}
RankState silent(double silent_s) {
  return {.host = "n3", .silent_s = silent_s, .activity = {}};
}
RankState ended(double before_s = 1e6) {
  return {.host = "n4", .silent_s = before_s, .ended = true, .activity = {.quiet_s = 1e6}};
}

TEST(Judgement, WaitsForARankThatWorksHoweverLong) {
  EXPECT_EQ(judge({waiting(1e6, 1e6), working(), waiting(1e6, 1e6)}, limit_s).hope, Hope::reasonable);
}

TEST(Judgement, NamesARankThatIsNotHeard) {
  EXPECT_EQ(judge({working(), silent(599)}, limit_s).hope, Hope::reasonable);
  const Judgement judgement = judge({working(), silent(601)}, limit_s);
  EXPECT_EQ(judgement.hope, Hope::silent);
  EXPECT_EQ(judgement.rank, 1);
  EXPECT_NE(judgement.text.find("rank 1 on host n3 was not heard for 601 s"), std::string::npos)
      << judgement.text;
}

TEST(Judgement, NamesARankThatNeitherWorksNorWaits) {
  EXPECT_EQ(judge({waiting(700, 700), working(599)}, limit_s).hope, Hope::reasonable);
  const Judgement judgement = judge({waiting(700, 700), working(601)}, limit_s);
  EXPECT_EQ(judgement.hope, Hope::stuck);
  EXPECT_EQ(judgement.rank, 1);
  EXPECT_NE(judgement.text.find("rank 1 on host n1 is stuck"), std::string::npos) << judgement.text;
}

TEST(Judgement, CallsItADeadlockOnlyWhenAllWaitAndNobodyDoesAnythingBeside) {
  EXPECT_EQ(judge({waiting(700, 700), waiting(700, 2)}, limit_s).hope, Hope::reasonable)
      << "a thread of rank 1 waits, the others work";
  EXPECT_EQ(judge({waiting(700, 700), waiting(700, 599)}, limit_s).hope, Hope::reasonable);
  const Judgement judgement =
      judge({waiting(700, 700), waiting(650, 650, "broadcast"), waiting(710, 700)}, limit_s);
  EXPECT_EQ(judgement.hope, Hope::deadlock);
  EXPECT_EQ(judgement.text,
            "all ranks wait for each other: ranks 0, 2: in barrier (end of the epoch) for 710 s; rank 1: in "
            "broadcast "
            "for 650 s");
}

TEST(Judgement, ExpectsNothingMoreOfRanksThatSaidGoodbye) {
  EXPECT_EQ(judge({working(), ended()}, limit_s).hope, Hope::reasonable);
  EXPECT_EQ(judge({ended(), ended()}, limit_s).hope, Hope::reasonable);
  EXPECT_EQ(judge({waiting(700, 700), ended(), ended(1)}, limit_s).hope, Hope::reasonable)
      << "the wait may be over, and the rank not heard since";
  const Judgement judgement = judge({waiting(700, 700), ended()}, limit_s);
  EXPECT_EQ(judgement.hope, Hope::deadlock);
  EXPECT_NE(judgement.text.find("rank 1: at the end of the work"), std::string::npos) << judgement.text;
}

TEST(Judgement, DescribesManyRanksInOneLine) {
  std::vector<RankState> ranks(100, waiting(62, 62));
  ranks[3] = working(2);
  ranks[4] = working(45);
  EXPECT_EQ(
      describe(ranks),
      "ranks 0, 1, 2, 5, 6, 7, 8, 9 and 90 more: in barrier (end of the epoch) for 62 s; rank 3: at work; "
      "rank 4: has done nothing for 45 s");
}

}  // namespace
}  // namespace deda::comm
