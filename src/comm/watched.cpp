#include "comm/watched.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "comm/activity.h"
#include "comm/awake_time.h"
#include "comm/communicator.h"
#include "comm/heartbeat.h"
#include "core/error.h"

namespace deda::comm {

namespace {
std::atomic<bool> abandoned{false};
constexpr int spins_before_yielding = 64;
constexpr int yields_before_sleeping = 64;
constexpr std::chrono::microseconds longest_sleep{200};
// Shorter waits are not worth the bookkeeping.
constexpr double unmarked_wait_s = 0.02;
// Of a longer gap between two looks at the clock this much counts: the process was stopped meanwhile.
constexpr double longest_counted_step_s = 1.0;

// Without a heartbeat nobody can tell slow from dead.
void give_up_by_the_clock(const Wait& wait, double waited_s) {
  if (waited_s <= Communicator::timeout_s()) return;
  set_wait_abandoned();
  throw CommError(
      fmt::format("rank {} waited {:.0f} s in {} and gave up", wait.rank, waited_s, place_of(wait)), {},
      "Another rank ended, hangs or is slower than that. Look for its message; set DEDA_TIMEOUT_S higher if "
      "the work honestly takes longer.");
}

}  // namespace

std::string place_of(const Wait& wait) {
  return wait.what.empty() ? std::string{wait.operation} : fmt::format("{} ({})", wait.operation, wait.what);
}

void check_mpi(int code, std::string_view operation) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  throw CommError(fmt::format(
      "{} failed: {}", operation,
      length > 0 ? std::string_view(text, static_cast<std::size_t>(length)) : "unknown MPI error"));
}

void BackOff::pause() {
  ++calls_;
  if (calls_ <= spins_before_yielding) return;
  if (calls_ <= spins_before_yielding + yields_before_sleeping) {
    sched_yield();
    return;
  }
  std::this_thread::sleep_for(sleep_);
  sleep_ = std::min(sleep_ * 5 / 4, longest_sleep);
}

void wait_watched(MPI_Request& request, const Wait& wait) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  BackOff back_off;
  Heartbeat* const heartbeat = Heartbeat::running();
  std::optional<OwnActivity::Mark> mark;  // from when the wait is long enough to be told of
  AwakeTime awake{longest_counted_step_s};
  while (true) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), wait.operation);
    if (done) break;
    if (wait.while_waiting) wait.while_waiting();
    if (heartbeat != nullptr) {
      const double waited_s = std::chrono::duration<double>(Clock::now() - start).count();
      if (!mark && waited_s > unmarked_wait_s) mark.emplace(place_of(wait));
      heartbeat->end_hopeless_wait(wait, waited_s);
    } else {
      give_up_by_the_clock(wait, awake.now_s());
    }
    back_off.pause();
  }
  OwnActivity::of_process().operation_completed();
}

bool wait_abandoned() {
  return abandoned.load();
}
void set_wait_abandoned() {
  abandoned.store(true);
}

bool mpi_is_running() {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started && !ended;
}

}  // namespace deda::comm
