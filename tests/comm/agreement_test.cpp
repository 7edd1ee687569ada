// Communicator::agree: when work fails on one rank it fails on all, with the first cause, and no rank is left
// waiting. DEDA_TIMEOUT_S is 30 in this test: a wait that is not woken shows as a failure, not as a hang.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "comm/communicator.h"
#include "core/error.h"

namespace deda::comm {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Agreement, SucceedsWhenAllSucceed) {
  const auto world = Communicator::world();
  int calls = 0;
  for (int i = 0; i < 20; ++i) world.agree("count", [&] { ++calls; });
  EXPECT_EQ(calls, 20);
}

TEST(Agreement, EveryRankThrowsTheKindAndTextOfTheOneThatFailed) {
  const auto world = Communicator::world();
  for (int culprit = 0; culprit < world.size(); ++culprit) {
    try {
      world.agree("read", [&] {
        if (world.rank() == culprit) throw DataError("image is cut off", "images/7.jpg", "Copy it again.");
      });
      FAIL() << "did not throw on rank " << world.rank();
    } catch (const DataError& error) {
      ASSERT_EQ(error.problems().size(), 1u);
      const std::string prefix = world.rank() == culprit ? "" : "rank " + std::to_string(culprit) + ": ";
      EXPECT_EQ(error.problems()[0].where, prefix + "images/7.jpg");
      EXPECT_EQ(error.problems()[0].what, "image is cut off");
      EXPECT_EQ(error.problems()[0].hint, "Copy it again.");
      EXPECT_EQ(error.exit_code(), ExitCode::data);
    }
  }
}

TEST(Agreement, KeepsEveryKindOfErrorAndAllProblems) {
  const auto world = Communicator::world();
  const int culprit = world.size() - 1;
  const auto fail = [&](auto error) {
    return [&world, culprit, error] {
      if (world.rank() == culprit) throw error;
    };
  };
  EXPECT_THROW(world.agree("", fail(ConfigError("a"))), ConfigError);
  EXPECT_THROW(world.agree("", fail(IoError("a"))), IoError);
  EXPECT_THROW(world.agree("", fail(CommError("a"))), CommError);
  EXPECT_THROW(world.agree("", fail(ModelError("a"))), ModelError);
  EXPECT_THROW(world.agree("", fail(Stopped("a"))), Stopped);
  EXPECT_THROW(world.agree("", fail(std::runtime_error("foreign"))), std::runtime_error);
  EXPECT_ANY_THROW(world.agree("", fail(42)));
  try {
    world.agree("", fail(ConfigError({{"one", "w1", "h1"}, {"two", "", ""}, {"three", "w3", ""}})));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 3u);
  }
}

TEST(Agreement, TheLowestFailingRankSpeaksForTheOthers) {
  const auto world = Communicator::world();
  try {
    world.agree("", [&] {
      if (world.rank() > 0) throw IoError("disk of rank " + std::to_string(world.rank()));
    });
    EXPECT_EQ(world.size(), 1);
  } catch (const IoError& error) {
    const std::string text = error.what();
    const int speaker = world.rank() > 0 ? world.rank() : 1;
    EXPECT_NE(text.find("disk of rank " + std::to_string(speaker)), std::string::npos) << text;
  }
}

TEST(Agreement, StaysUsableAfterAFailure) {
  const auto world = Communicator::world();
  for (int i = 0; i < 10; ++i) {
    EXPECT_THROW(world.agree("",
                             [&] {
                               if (world.rank() == i % world.size()) throw IoError("again");
                             }),
                 IoError);
    EXPECT_EQ(world.all_reduce(1, Reduction::sum), world.size());
  }
}

TEST(Agreement, WakesRanksThatWaitInACollectiveForTheOneThatFailed) {
  const auto world = Communicator::world();
  if (world.size() == 1) return;  // nobody to wait for
  const int culprit = world.size() - 1;
  const auto start = std::chrono::steady_clock::now();
  try {
    world.agree("write", [&] {
      if (world.rank() == culprit) throw DataError("the cause");
      world.barrier("segment complete");
    });
    FAIL();
  } catch (const DataError& error) {  // the cause, and not "rank 0 waited ..."
    EXPECT_NE(std::string(error.what()).find("the cause"), std::string::npos);
  }
  EXPECT_LT(seconds_since(start), 10.0);
  // The barrier was left half way: the verbs refuse, on every rank; agreeing still works.
  EXPECT_THROW(world.barrier("afterwards"), CommError);
  EXPECT_NO_THROW(world.agree("afterwards", [] {}));
}

TEST(Agreement, NestedAgreementsAllEndWhenARankLeavesTheOuterOne) {
  const auto world = Communicator::world();
  if (world.size() == 1) return;  // nobody to wait for
  const auto start = std::chrono::steady_clock::now();
  for (int culprit = 0; culprit < world.size(); ++culprit) {
    EXPECT_THROW(world.agree("outer",
                             [&] {
                               if (world.rank() == culprit) throw DataError("before the inner one");
                               world.agree("inner", [] {});
                             }),
                 DataError);
  }
  EXPECT_THROW(world.agree("outer",
                           [&] {
                             world.agree("first inner", [] {});
                             world.agree("second inner", [&] {
                               if (world.rank() == 0) throw IoError("inside");
                             });
                           }),
               IoError);
  int recovered = 0;
  world.agree("outer that recovers", [&] {
    try {
      world.agree("inner", [&] {
        if (world.rank() == 0) throw IoError("inside");
      });
    } catch (const IoError&) {
      ++recovered;
    }
  });
  EXPECT_EQ(recovered, 1);
  EXPECT_EQ(world.all_reduce(1, Reduction::sum), world.size());
  EXPECT_LT(seconds_since(start), 20.0);
}

}  // namespace
}  // namespace deda::comm
