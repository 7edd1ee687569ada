// Tickets: each drawn exactly once, by both ways of drawing.
#include "comm/tickets.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "comm/each_ticket_once.h"
#include "core/error.h"

namespace deda::comm {
namespace {

class TicketsBy : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { setenv("DEDA_TICKETS", GetParam(), 1); }
  void TearDown() override { unsetenv("DEDA_TICKETS"); }

  // Draws until the round is over; `work` is done after each draw.
  template <class Work>
  static std::vector<std::int64_t> draw_all(Tickets& tickets, Work work) {
    std::vector<std::int64_t> mine;
    for (std::int64_t ticket = tickets.draw(); ticket >= 0; ticket = tickets.draw()) {
      mine.push_back(ticket);
      work(ticket);
    }
    return mine;
  }
};

TEST_P(TicketsBy, EachTicketIsDrawnExactlyOnceInEveryRound) {
  const auto world = Communicator::world();
  Tickets tickets(world);
  for (const std::int64_t count : {100, 0, 1, 7, 1000, 0, 0, 50}) {
    tickets.start_round(count);
    expect_each_once(world, draw_all(tickets, [](std::int64_t) {}), count);
    EXPECT_EQ(tickets.draw(), -1) << "the end of a round stays the end";
  }
}

TEST_P(TicketsBy, WhoIsFreeTakesTheNext) {
  const auto world = Communicator::world();
  Tickets tickets(world);
  constexpr std::int64_t count = 60;
  tickets.start_round(count);
  // The last rank is slow: the others must take nearly all of its share.
  const bool slow = world.size() > 1 && world.rank() == world.size() - 1;
  const auto mine = draw_all(
      tickets, [&](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(slow ? 60 : 4)); });
  expect_each_once(world, mine, count);
  if (slow) {
    EXPECT_LT(static_cast<std::int64_t>(mine.size()), count / world.size());
  }
}

TEST_P(TicketsBy, DrawsCompleteWhileRankZeroComputes) {
  const auto world = Communicator::world();
  Tickets tickets(world);
  tickets.start_round(40);
  std::vector<std::int64_t> mine;
  if (world.is_root()) mine.push_back(tickets.draw());
  world.barrier("rank 0 has its ticket");
  // Rank 0 stays away from MPI for a second; the others are done long before.
  const auto start = std::chrono::steady_clock::now();
  if (world.is_root() && world.size() > 1) std::this_thread::sleep_for(std::chrono::seconds(1));
  const auto rest = draw_all(tickets, [](std::int64_t) {});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!world.is_root()) {
    EXPECT_LT(seconds, 0.8);
  }
  mine.insert(mine.end(), rest.begin(), rest.end());
  expect_each_once(world, mine, 40);
}

TEST_P(TicketsBy, ARoundMayBeLeftBeforeItsEnd) {
  const auto world = Communicator::world();
  Tickets tickets(world);
  tickets.start_round(1000);
  tickets.draw();
  tickets.start_round(10);
  expect_each_once(world, draw_all(tickets, [](std::int64_t) {}), 10);
}

TEST_P(TicketsBy, AnErrorWhileTicketsAreOpenEndsOnAllRanks) {
  const auto world = Communicator::world();
  EXPECT_THROW(
      {
        Tickets tickets(world);
        tickets.start_round(30);
        world.agree("work on tickets", [&] {
          while (tickets.draw() >= 0) {
            if (world.rank() == world.size() - 1) throw DataError("a bad image");
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
          // A rank that found no ticket left has nothing to fail on; the last rank always fails.
          if (world.rank() == world.size() - 1) throw DataError("a bad image");
        });
      },
      DataError);
}

INSTANTIATE_TEST_SUITE_P(Way, TicketsBy, testing::Values("window", "served"),
                         [](const auto& way) { return std::string(way.param); });

TEST(Tickets, RefuseAnUnknownWayOfDrawing) {
  setenv("DEDA_TICKETS", "lottery", 1);
  const auto world = Communicator::world();
  if (world.size() > 1) {
    EXPECT_THROW(Tickets{world}, ConfigError);
  }
  unsetenv("DEDA_TICKETS");
}

}  // namespace
}  // namespace deda::comm
