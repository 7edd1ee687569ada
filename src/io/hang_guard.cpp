#include "io/hang_guard.h"

#include <chrono>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/log.h"

namespace deda::io {

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

void HangGuard::watch() {
  const double limit_s = comm::Communicator::timeout_s();
  std::unique_lock lock{mutex_};
  while (!over_) {
    const int seen = steps_;
    const bool moved = changed_.wait_for(lock, std::chrono::duration<double>(limit_s), [&] { return over_ || steps_ != seen; });
    if (moved) continue;
    log_line(LogLevel::error, to_string(Problem{fmt::format("no progress for {:.0f} s inside MPI-IO", limit_s), what_,
                                                "Another rank may have died or its disk may be full. Run the same command to "
                                                "continue; DEDA_TIMEOUT_S changes the limit."}));
    comm::Communicator::abort(static_cast<int>(ExitCode::failure));
  }
}

}  // namespace deda::io
