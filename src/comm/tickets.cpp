#include "comm/tickets.h"

#include <fmt/format.h>
#include <mpi.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <thread>

#include "comm/activity.h"
#include "comm/communicator_state.h"
#include "comm/watched.h"
#include "core/error.h"

namespace deda::comm {

namespace {

constexpr int owner = 0;  // the rank that holds the counter
constexpr int request_tag = 1;
constexpr int answer_tag = 2;

// What both ways offer: add one and get the value before, and set to zero (owner only, nobody draws
// meanwhile).
class Counter {
 public:
  virtual ~Counter() = default;
  virtual std::int64_t take() = 0;
  virtual void reset() = 0;
};

class PlainCounter final : public Counter {
 public:
  std::int64_t take() override { return next_++; }
  void reset() override { next_ = 0; }

 private:
  std::int64_t next_ = 0;
};

class WindowCounter final : public Counter {
 public:
  // Null on every rank when MPI cannot make the window on some rank.
  static std::unique_ptr<WindowCounter> make(const Communicator& ranks) {
    std::int64_t* place = nullptr;
    MPI_Win window = MPI_WIN_NULL;
    const MPI_Aint bytes = ranks.rank() == owner ? sizeof(std::int64_t) : 0;
    const bool made = MPI_Win_allocate(bytes, sizeof(std::int64_t), MPI_INFO_NULL, ranks.state().comm, &place,
                                       &window) == MPI_SUCCESS;
    if (ranks.any(!made)) {
      if (made) MPI_Win_free(&window);
      return nullptr;
    }
    MPI_Win_set_errhandler(window, MPI_ERRORS_RETURN);
    check_mpi(MPI_Win_lock_all(MPI_MODE_NOCHECK, window), "MPI_Win_lock_all");
    return std::make_unique<WindowCounter>(window);
  }
  explicit WindowCounter(MPI_Win window) : window_{window} {}
  ~WindowCounter() override {
    MPI_Win_unlock_all(window_);
    MPI_Win_free(&window_);
  }
  std::int64_t take() override { return exchange(1, MPI_SUM); }
  void reset() override { exchange(0, MPI_REPLACE); }

 private:
  std::int64_t exchange(std::int64_t operand, MPI_Op operation) {
    std::int64_t before = 0;
    check_mpi(MPI_Fetch_and_op(&operand, &before, MPI_INT64_T, owner, 0, operation, window_),
              "MPI_Fetch_and_op (ticket)");
    check_mpi(MPI_Win_flush(owner, window_), "MPI_Win_flush (ticket)");
    return before;
  }
  MPI_Win window_;
};

class ServedCounter final : public Counter {
 public:
  explicit ServedCounter(const Communicator& ranks) : ranks_{ranks}, messages_{ranks.duplicate()} {
    int granted = MPI_THREAD_SINGLE;
    check_mpi(MPI_Query_thread(&granted), "MPI_Query_thread");
    if (granted != MPI_THREAD_MULTIPLE) {
      throw CommError(
          "tickets over several hosts need MPI_THREAD_MULTIPLE, which this MPI library did not grant", {},
          "Use an MPI library built with thread support.");
    }
    if (ranks_.rank() == owner) server_ = std::thread([this] { serve(); });
  }
  ~ServedCounter() override {
    stop_ = true;
    if (server_.joinable()) server_.join();
  }
  std::int64_t take() override {
    if (ranks_.rank() == owner) return next_++;
    Communicator::State& state = ranks_.state();
    const MPI_Comm comm = messages_.state().comm;
    check_mpi(MPI_Send(nullptr, 0, MPI_BYTE, owner, request_tag, comm), "MPI_Send (ticket)");
    return state.run(comm, state.wait_for("drawing a ticket", "rank 0 answers"), std::int64_t{-1},
                     [](MPI_Comm on, std::int64_t& answer, MPI_Request* request) {
                       return MPI_Irecv(&answer, 1, MPI_INT64_T, owner, answer_tag, on, request);
                     });
  }
  void reset() override { next_ = 0; }

 private:
  void serve() {
    const OwnActivity::Mark serves{""};  // looking for requests is no work of rank 0
    const MPI_Comm comm = messages_.state().comm;
    BackOff back_off;
    while (!stop_) {
      int there = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, request_tag, comm, &there, &status) != MPI_SUCCESS) return;
      if (!there) {
        back_off.pause();
        continue;
      }
      const std::int64_t ticket = next_++;
      if (MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, request_tag, comm, MPI_STATUS_IGNORE) !=
          MPI_SUCCESS)
        return;
      if (MPI_Send(&ticket, 1, MPI_INT64_T, status.MPI_SOURCE, answer_tag, comm) != MPI_SUCCESS) return;
      back_off = BackOff{};
    }
  }

  const Communicator ranks_;     // whose agree() ends a wait for an answer
  const Communicator messages_;  // requests and answers, apart from everything else
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> stop_{false};
  std::thread server_;
};

// The way for all ranks: what rank 0's environment says, else a window when all ranks share one host.
std::string choose_way(const Communicator& ranks) {
  const char* wish = std::getenv("DEDA_TICKETS");
  std::string way = ranks.broadcast(wish ? wish : "", owner);
  if (!way.empty() && way != "window" && way != "served") {
    throw ConfigError(fmt::format("\"{}\" is no way of drawing tickets", way), "DEDA_TICKETS",
                      "Use window or served.");
  }
  const bool several_hosts = ranks.any(ranks.local_size() != ranks.size());
  if (way.empty()) way = several_hosts ? "served" : "window";
  return way;
}

std::unique_ptr<Counter> make_counter(const Communicator& ranks) {
  if (ranks.size() == 1) return std::make_unique<PlainCounter>();
  if (choose_way(ranks) == "window") {
    if (auto counter = WindowCounter::make(ranks)) return counter;
  }
  return std::make_unique<ServedCounter>(ranks);
}

}  // namespace

struct Tickets::State {
  Communicator ranks;
  std::unique_ptr<Counter> counter;
  std::int64_t count = 0;
  bool over = true;  // this rank saw the end of the round: no need to ask again
  int exceptions_at_start = std::uncaught_exceptions();
};

Tickets::Tickets(const Communicator& ranks)
    : state_{std::make_unique<State>(State{ranks, make_counter(ranks)})} {}

Tickets::~Tickets() {
  const bool unwinding = std::uncaught_exceptions() > state_->exceptions_at_start;
  const bool alone = state_->ranks.size() == 1;
  if (!alone && !unwinding && mpi_is_running()) {
    try {
      state_->ranks.barrier("end of the tickets");
      return;
    } catch (const std::exception&) {
      // The other ranks do not come: fall through and leave the window, freeing it would wait for them.
    }
  }
  if (!alone && dynamic_cast<WindowCounter*>(state_->counter.get()))
    static_cast<void>(state_->counter.release());
}

void Tickets::start_round(std::int64_t count) {
  State& state = *state_;
  if (count < 0) throw CommError(fmt::format("a round of {} tickets cannot be started", count));
  if (state.ranks.size() > 1) state.ranks.barrier("end of a round of tickets");
  if (state.ranks.rank() == owner) state.counter->reset();
  if (state.ranks.size() > 1) state.ranks.barrier("start of a round of tickets");
  state.count = count;
  state.over = count == 0;
}

std::int64_t Tickets::draw() {
  State& state = *state_;
  if (state.over) return -1;
  const std::int64_t ticket = state.counter->take();
  if (ticket < state.count) return ticket;
  state.over = true;
  return -1;
}

}  // namespace deda::comm
