// Threads that draw tickets: each worked on once, and rounds that end for all ranks however they end on one.
#include "comm/ticket_workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "comm/each_ticket_once.h"
#include "core/error.h"

namespace deda::comm {
namespace {

using std::chrono::milliseconds;

// More than ranks could work through while a test runs: such a round ends early or the test does not end.
constexpr std::int64_t endless = 100'000;

class TicketWorkersTest : public testing::Test {
 protected:
  bool last() const { return world_.rank() == world_.size() - 1; }

  // Tickets that `work` came to its end with.
  bool work(const TicketWorkers& workers, const std::function<void(const DrawnTicket&)>& work) {
    return work_on_tickets(tickets_, workers, [&](const DrawnTicket& ticket) {
      work(ticket);
      const std::lock_guard lock{collecting_};
      done_.push_back(ticket.number);
    });
  }

  // The last rank alone draws: nobody takes tickets away that its threads must have. Collective.
  template <class Round>
  void on_last_rank(const Round& round) {
    if (last()) round();
    world_.barrier("the last rank is through");
  }

  // The round before, however it ended, leaves nothing behind.
  void expect_that_the_next_round_works() {
    EXPECT_EQ(tickets_.draw(), -1) << "the round is over on every rank";
    done_.clear();
    tickets_.start_round(50);
    EXPECT_TRUE(work({.threads = 2}, [](const DrawnTicket&) {}));
    expect_each_once(world_, done_, 50);
  }

  Communicator world_ = Communicator::world();
  Tickets tickets_{world_};
  std::mutex collecting_;
  std::vector<std::int64_t> done_;
};

TEST_F(TicketWorkersTest, WorkOnEveryTicketOnce) {
  for (const int threads : {0, 1, 4}) {
    for (const std::int64_t count : {0, 1, 3, 500}) {
      done_.clear();
      tickets_.start_round(count);
      EXPECT_TRUE(work({.threads = threads}, [](const DrawnTicket&) {}));
      expect_each_once(world_, done_, count);
    }
  }
}

TEST_F(TicketWorkersTest, EveryThreadBeginsOnceAndHasOneTicketAtATime) {
  constexpr int threads = 3;
  std::set<std::thread::id> begun;
  std::vector<std::atomic<int>> at_work(threads);
  const TicketWorkers workers{.threads = threads, .begin_thread = [&] {
                                const std::lock_guard lock{collecting_};
                                EXPECT_TRUE(begun.insert(std::this_thread::get_id()).second);
                              }};
  const auto caller = std::this_thread::get_id();
  tickets_.start_round(200);
  work(workers, [&](const DrawnTicket& ticket) {
    EXPECT_EQ(ticket.thread == 0, std::this_thread::get_id() == caller);
    EXPECT_EQ(at_work.at(ticket.thread)++, 0);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
    --at_work.at(ticket.thread);
    const std::lock_guard lock{collecting_};
    EXPECT_EQ(begun.count(std::this_thread::get_id()), 1u);
  });
  EXPECT_EQ(begun.size(), std::size_t{threads});
}

TEST_F(TicketWorkersTest, AFailureOnOneRankEndsTheRoundForAllAndIsThrownThere) {
  tickets_.start_round(endless);
  const auto fail_on_last = [&](const DrawnTicket&) {
    std::this_thread::sleep_for(milliseconds(1));
    if (last()) throw DataError("a bad image", "a.png");
  };
  if (last()) {
    try {
      work({.threads = 3}, fail_on_last);
      ADD_FAILURE() << "the failure was lost";
    } catch (const DataError& error) {
      EXPECT_EQ(error.problems().front().where, "a.png");
    }
    EXPECT_TRUE(done_.empty());
  } else {
    EXPECT_TRUE(work({.threads = 3}, fail_on_last)) << "the other ranks see a round that ends";
  }
  EXPECT_LT(static_cast<std::int64_t>(tickets_of_all(world_, done_).size()), endless / 2);
  expect_that_the_next_round_works();
}

TEST_F(TicketWorkersTest, AFailureBecomesEveryonesByAgreement) {
  tickets_.start_round(endless);
  EXPECT_THROW(world_.agree("work on tickets",
                            [&] {
                              work({.threads = 2}, [&](const DrawnTicket&) {
                                std::this_thread::sleep_for(milliseconds(1));
                                if (last()) throw DataError("a bad image");
                              });
                            }),
               DataError);
}

TEST_F(TicketWorkersTest, WorkThatTakesLongSeesThatAnotherThreadFailed) {
  tickets_.start_round(endless);
  on_last_rank([&] {
    std::atomic<bool> long_work_begun = false, long_work_saw_it = false;
    const auto long_and_failing = [&](const DrawnTicket& ticket) {
      if (long_work_begun.exchange(true)) throw DataError("a bad image");
      while (!ticket.another_failed) std::this_thread::sleep_for(milliseconds(1));
      long_work_saw_it = true;
    };
    EXPECT_THROW(work({.threads = 2}, long_and_failing), DataError);
    EXPECT_TRUE(long_work_saw_it);
    EXPECT_EQ(done_.size(), 1u) << "what was in work is finished, and nothing begun after it";
  });
  expect_that_the_next_round_works();
}

TEST_F(TicketWorkersTest, TheFirstFailureIsTheOneThatIsThrown) {
  tickets_.start_round(endless);
  on_last_rank([&] {
    std::atomic<bool> first_chosen = false;
    try {
      work({.threads = 4}, [&](const DrawnTicket& ticket) {
        if (!first_chosen.exchange(true)) throw DataError("the first");
        while (!ticket.another_failed) std::this_thread::sleep_for(milliseconds(1));
        throw DataError("a later one");
      });
      ADD_FAILURE() << "the failure was lost";
    } catch (const DataError& error) {
      EXPECT_EQ(error.problems().front().what, "the first");
    }
  });
}

TEST_F(TicketWorkersTest, ExceptionsOfOtherTypesAreFailuresToo) {
  tickets_.start_round(endless);
  on_last_rank([&] { EXPECT_THROW(work({.threads = 2}, [](const DrawnTicket&) { throw 7; }), int); });
  tickets_.start_round(endless);
  const TicketWorkers without_settings{.threads = 2,
                                       .begin_thread = [] { throw std::runtime_error("no such setting"); }};
  on_last_rank([&] { EXPECT_THROW(work(without_settings, [](const DrawnTicket&) {}), std::runtime_error); });
  expect_that_the_next_round_works();
}

TEST_F(TicketWorkersTest, AStopOnOneRankEndsTheRoundForAll) {
  tickets_.start_round(endless);
  std::atomic<bool> asked_to_stop = false;
  const TicketWorkers workers{.threads = 3, .stop = [&] { return asked_to_stop.load(); }};
  const bool ended = work(workers, [&](const DrawnTicket&) {
    std::this_thread::sleep_for(milliseconds(1));
    if (last()) asked_to_stop = true;
  });
  EXPECT_EQ(ended, !last());
  if (last()) {
    EXPECT_GE(done_.size(), 1u) << "what was in work is finished";
    EXPECT_LE(done_.size(), 3u) << "and nothing begun after it";
  }
  expect_that_the_next_round_works();
}

TEST_F(TicketWorkersTest, AStopBeforeTheFirstDrawLeavesAllTickets) {
  tickets_.start_round(endless);
  EXPECT_FALSE(work({.threads = 2, .stop = [] { return true; }}, [](const DrawnTicket&) {}));
  EXPECT_TRUE(done_.empty());
  expect_that_the_next_round_works();
}

}  // namespace
}  // namespace deda::comm
