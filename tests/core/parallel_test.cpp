// Every piece once, none after a failure, and the failure reaches the caller.
#include "core/parallel.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace deda {
namespace {

TEST(UsableCores, AreThoseOfTheAffinity) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(usable_cores(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(usable_cores(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(ParallelFor, DoesEveryPieceOfTheStrideOnce) {
  for (const int threads : {1, 2, 5}) {
    std::vector<std::atomic<int>> calls(100);
    parallel_for(threads, 3, calls.size(), 4, [&](std::size_t i) { ++calls[i]; });
    for (std::size_t i = 0; i < calls.size(); ++i)
      ASSERT_EQ(calls[i], i >= 3 && (i - 3) % 4 == 0 ? 1 : 0) << i << " on " << threads << " threads";
  }
  parallel_for(2, 5, 5, 1, [](std::size_t) { FAIL() << "there is nothing to do"; });
}

TEST(ParallelFor, ThrowsWhatAPieceThrewAndBeginsNoFurtherOne) {
  std::atomic<int> calls{0};
  const auto failing = [&](std::size_t) {
    ++calls;
    throw std::runtime_error("broken");
  };
  EXPECT_THROW(parallel_for(3, 0, 1000, 1, failing), std::runtime_error);
  EXPECT_LE(calls, 3) << "at most one on each thread";
}

}  // namespace
}  // namespace deda
