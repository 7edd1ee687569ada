#include "comm/watched.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "comm/communicator.h"
#include "core/error.h"

namespace deda::comm {

namespace {
std::atomic<bool> abandoned{false};
constexpr int spins_before_yielding = 64;
constexpr int yields_before_sleeping = 64;
constexpr std::chrono::microseconds longest_sleep{200};
}  // namespace

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
  const double limit_s = Communicator::timeout_s();
  const auto start = Clock::now();
  BackOff back_off;
  while (true) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), wait.operation);
    if (done) return;
    if (wait.while_waiting) wait.while_waiting();
    const double waited_s = std::chrono::duration<double>(Clock::now() - start).count();
    if (waited_s > limit_s) {
      set_wait_abandoned();
      throw CommError(
          fmt::format("rank {} waited {:.0f} s in {}{} and gave up", wait.rank, waited_s, wait.operation,
                      wait.what.empty() ? "" : fmt::format(" ({})", wait.what)),
          {},
          "Another rank ended, hangs or is slower than that. Look for its message; set DEDA_TIMEOUT_S "
          "higher if the work honestly takes longer.");
    }
    back_off.pause();
  }
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
