#include "io/store/hang_guard.h"

#include <algorithm>
#include <chrono>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/log.h"

namespace deda::io {

namespace {
// What the others need to leave a call that one rank has left by an error, if they can leave it at all.
constexpr double grace_after_failure_s = 10.0;
constexpr int steps_per_limit = 100;
}  // namespace

HangGuard::HangGuard(std::string what) : what_{std::move(what)}, thread_{[this] { watch(); }} {}

HangGuard::~HangGuard() {
  {
    const std::lock_guard lock{mutex_};
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void HangGuard::progress() {
  {
    const std::lock_guard lock{mutex_};
    ++steps_;
  }
  changed_.notify_all();
}

void HangGuard::failed(std::string why) {
  {
    const std::lock_guard lock{mutex_};
    if (failure_.empty()) failure_ = std::move(why);
  }
  changed_.notify_all();
}

void HangGuard::watch() {
  const double limit_s = comm::Communicator::timeout_s();
  std::unique_lock lock{mutex_};
  bool stuck = false;
  while (!over_ && !stuck && failure_.empty()) {
    const int seen = steps_;
    const auto changed = [&] { return over_ || !failure_.empty() || steps_ != seen; };
    // In short steps: a process that was stopped and wakes up must not take its own sleep for a hang.
    const std::chrono::duration<double> step{limit_s / steps_per_limit};
    stuck = true;
    for (int passed = 0; passed < steps_per_limit && stuck; ++passed)
      stuck = !changed_.wait_for(lock, step, changed);
  }
  if (stuck) {
    failure_ = fmt::format("no progress for {:.0f} s inside MPI-IO; another rank may have died", limit_s);
  } else {
    const std::chrono::duration<double> grace{std::min(limit_s, grace_after_failure_s)};
    if (changed_.wait_for(lock, grace, [&] { return over_; })) return;
  }
  log_line(LogLevel::error,
           to_string(Problem{failure_, what_, "Is the disk full? Run the same command to continue."}));
  comm::Communicator::abort(static_cast<int>(ExitCode::failure));
}

}  // namespace deda::io
