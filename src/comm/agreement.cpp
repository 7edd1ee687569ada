// Communicator::agree. The ranks report to each other how their work went; when it failed anywhere, all
// throw.
//
// Two things make it more than one reduction:
//  - A rank may fail while others wait for it in a collective inside `work`. It sends them a notice, which
//  ends their wait
//    by PeerFailure; the agreement then reports the failure that came first and not those that followed from
//    it.
//  - `work` may itself contain agree(). A rank that left the inner one by an error meets the others at a
//  different depth;
//    the deeper ones then leave theirs, and the shallower one asks again.
#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <optional>
#include <vector>

#include "comm/communicator_state.h"
#include "comm/heartbeat.h"
#include "comm/packed_error.h"
#include "comm/peer_failure.h"
#include "core/log.h"

namespace deda::comm {

namespace {

// How long an operation may still take after another rank's notice came: it may be complete but for the last
// message.
constexpr std::chrono::milliseconds notice_grace{100};

// An agreement on a failure takes milliseconds where nobody is busy. A rank that waits longer in it tells
// the others by its heartbeat, which reaches those that wait where no notice does.
constexpr std::chrono::milliseconds quiet_agreement{500};

// What a rank says about its work; sent as plain numbers.
struct Report {
  std::int64_t depth = 0;        // number of nested agreements
  std::int64_t outcome = 0;      // Outcome below
  std::int64_t notice_sent = 0;  // a notice of this rank is on the wire
  std::int64_t broken = 0;       // this rank left the communicator in the middle of an operation
};
enum Outcome : std::int64_t { succeeded = 0, failed = 1, failed_by_another = 2 };
static_assert(sizeof(Report) == 4 * sizeof(std::int64_t));

Outcome outcome_of(const std::exception_ptr& error) {
  if (!error) return succeeded;
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailure&) {
    return failed_by_another;
  } catch (...) {
    return failed;
  }
}

// Lowest rank with that outcome.
std::optional<int> lowest_rank(const std::vector<Report>& reports, Outcome outcome) {
  const auto found =
      std::find_if(reports.begin(), reports.end(), [&](const Report& r) { return r.outcome == outcome; });
  if (found == reports.end()) return std::nullopt;
  return static_cast<int>(found - reports.begin());
}

// One agreement of one rank.
class Agreement {
 public:
  Agreement(Communicator::State& state, std::string_view what)
      : state_{state}, wait_{state.rank, "agree", what, {}, state.number} {
    ++state_.agreements;
  }
  ~Agreement() {
    --state_.agreements;
    if (Heartbeat* heartbeat = Heartbeat::running(); heartbeat && announced_)
      heartbeat->withdraw_failure(state_.number);
  }

  void conclude(const std::exception_ptr& mine) {
    if (mine) {
      send_notice();
      announce_while_waiting(mine);
    }
    std::optional<Spoken> spoken;
    try {
      spoken = hear_all(mine);
    } catch (const std::exception& error) {
      if (!mine) throw;
      // What this rank met says more than that it could not tell it.
      if (dynamic_cast<const PeerFailure*>(&error) == nullptr)
        log_warning("rank {} could not tell the others how its work failed: {}", state_.rank, error.what());
      std::rethrow_exception(mine);
    }
    if (!spoken) return;
    if (outcome_of(mine) == failed || spoken->rank == state_.rank) std::rethrow_exception(mine);
    throw_packed_error(spoken->packed, spoken->rank);
  }

 private:
  // The failure that stands for all, from the rank that met it.
  struct Spoken {
    int rank;
    std::string packed;
  };

  std::optional<Spoken> hear_all(const std::exception_ptr& mine) {
    const std::vector<Report> reports = exchange_at_same_depth(outcome_of(mine));
    if (std::any_of(reports.begin(), reports.end(), [](const Report& r) { return r.broken != 0; }) &&
        state_.broken.empty()) {
      state_.broken = "another rank left it in the middle of an operation";
    }
    take_notices(reports);
    const auto origin = lowest_rank(reports, failed);
    const auto speaker = origin ? origin : lowest_rank(reports, failed_by_another);
    if (!speaker) return std::nullopt;
    std::string packed;
    if (*speaker == state_.rank)
      packed = pack_error(mine, state_.local_size < state_.size ? host_name() : std::string{});
    return Spoken{*speaker, state_.broadcast(state_.control, wait_, std::move(packed), *speaker)};
  }

  void send_notice() {
    if (state_.notice_sent) return;
    for (int other = 0; other < state_.size; ++other) {
      if (other == state_.rank) continue;
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, other, failure_notice_tag, state_.control, &request),
                "MPI_Isend");
      check_mpi(MPI_Request_free(&request), "MPI_Request_free");
    }
    state_.notice_sent = true;
  }

  void announce_while_waiting(const std::exception_ptr& mine) {
    Heartbeat* const heartbeat = Heartbeat::running();
    if (heartbeat == nullptr) return;
    wait_.while_waiting = [this, heartbeat, mine, start = std::chrono::steady_clock::now()] {
      if (announced_ || std::chrono::steady_clock::now() - start < quiet_agreement) return;
      heartbeat->announce_failure(state_.number, false, mine);
      announced_ = true;
    };
  }

  std::vector<Report> exchange(Report mine) {
    struct Buffers {
      Report mine;
      std::vector<Report> all;
    };
    constexpr int numbers = sizeof(Report) / sizeof(std::int64_t);
    auto buffers = state_.run(state_.control, wait_,
                              Buffers{mine, std::vector<Report>(static_cast<std::size_t>(state_.size))},
                              [](MPI_Comm on, Buffers& b, MPI_Request* request) {
                                return MPI_Iallgather(&b.mine, numbers, MPI_INT64_T, b.all.data(), numbers,
                                                      MPI_INT64_T, on, request);
                              });
    return std::move(buffers.all);
  }

  std::vector<Report> exchange_at_same_depth(Outcome outcome) {
    while (true) {
      const Report mine{state_.agreements, outcome, state_.notice_sent, !state_.broken.empty()};
      auto reports = exchange(mine);
      const auto shallowest = std::min_element(
          reports.begin(), reports.end(), [](const Report& a, const Report& b) { return a.depth < b.depth; });
      const bool all_here =
          std::all_of(reports.begin(), reports.end(), [&](const Report& r) { return r.depth == mine.depth; });
      if (all_here) return reports;
      if (mine.depth > shallowest->depth) {
        const auto origin = static_cast<int>(shallowest - reports.begin());
        throw PeerFailure(origin, ExitCode::failure,
                          fmt::format("rank {} cannot agree on \"{}\": rank {} failed before it", state_.rank,
                                      wait_.what, origin));
      }
    }
  }

  // Every rank that sent a notice sent one to each other rank; taken off the wire, the next agreement starts
  // clean.
  void take_notices(const std::vector<Report>& reports) {
    for (int from = 0; from < state_.size; ++from) {
      if (from == state_.rank || reports[static_cast<std::size_t>(from)].notice_sent == 0) continue;
      state_.run(state_.control, wait_, 0, [from](MPI_Comm on, int&, MPI_Request* request) {
        return MPI_Irecv(nullptr, 0, MPI_BYTE, from, failure_notice_tag, on, request);
      });
    }
    state_.notice_sent = false;
  }

  Communicator::State& state_;
  Wait wait_;
  bool announced_ = false;
};

}  // namespace

Wait Communicator::State::wait_for(std::string_view operation, std::string_view what) {
  Wait wait{rank, operation, what, {}, of_endings ? number : 0};
  if (agreements == 0) return wait;
  using Clock = std::chrono::steady_clock;
  wait.while_waiting = [this, operation, what, noticed = std::optional<Clock::time_point>{},
                        from = 0]() mutable {
    if (!noticed) {
      int there = 0;
      MPI_Status status;
      check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, failure_notice_tag, control, &there, &status), "MPI_Iprobe");
      if (!there) return;
      noticed = Clock::now();
      from = status.MPI_SOURCE;
    }
    if (Clock::now() - *noticed < notice_grace) return;
    throw PeerFailure(from, ExitCode::failure,
                      fmt::format("rank {} waited in {}{}, but rank {} had failed", rank, operation,
                                  what.empty() ? "" : fmt::format(" ({})", what), from));
  };
  return wait;
}

void Communicator::agree(std::string_view what, const std::function<void()>& work) const {
  if (size() == 1) {
    work();
    return;
  }
  Agreement agreement(*state_, what);
  std::exception_ptr mine;
  try {
    work();
  } catch (...) {
    mine = std::current_exception();
  }
  // This rank gave up a wait: the others may be gone, and waiting for them once more helps nobody.
  if (mine && wait_abandoned()) std::rethrow_exception(mine);
  agreement.conclude(mine);
}

}  // namespace deda::comm
