#include "comm/activity.h"

#include <pthread.h>
#include <sys/resource.h>

#include <utility>

namespace deda::comm {

namespace {

// Of 512 bytes, as getrusage counts them: a mebibyte. A log line now and then is no work.
constexpr std::int64_t least_blocks = 2048;

double seconds_of(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Read from and written to storage. Reading a mapped file over a slow network uses hardly any processor time.
std::int64_t storage_blocks() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return usage.ru_inblock + usage.ru_oublock;
}

}  // namespace

OwnActivity& OwnActivity::of_process() {
  static OwnActivity activity;
  return activity;
}

OwnActivity::Mark::Mark(std::string operation) {
  Uncounted thread{.operation = std::move(operation), .since = std::chrono::steady_clock::now()};
  // The clock by which another thread reads this one's time.
  pthread_getcpuclockid(pthread_self(), &thread.clock);
  thread.used_before_s = seconds_of(thread.clock);
  OwnActivity& activity = of_process();
  const std::lock_guard lock{activity.mutex_};
  place_ = activity.uncounted_.insert(activity.uncounted_.end(), std::move(thread));
}

OwnActivity::Mark::~Mark() {
  OwnActivity& activity = of_process();
  const std::lock_guard lock{activity.mutex_};
  activity.uncounted_before_s_ += seconds_of(place_->clock) - place_->used_before_s;
  activity.uncounted_.erase(place_);
}

double OwnActivity::work_s() {
  double uncounted_s = uncounted_before_s_;
  for (const Uncounted& thread : uncounted_) uncounted_s += seconds_of(thread.clock) - thread.used_before_s;
  return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - uncounted_s;
}

Activity OwnActivity::look(double awake_s, double least_work_s) {
  const std::lock_guard lock{mutex_};
  const double work = work_s();
  const std::int64_t completed = completed_.load(std::memory_order_relaxed), blocks = storage_blocks();
  if (work - work_then_s_ >= least_work_s || completed != completed_then_ ||
      blocks - blocks_then_ >= least_blocks) {
    worked_at_s_ = awake_s;
    work_then_s_ = work;
    completed_then_ = completed;
    blocks_then_ = blocks;
  }
  Activity activity{.quiet_s = awake_s - worked_at_s_};
  const auto now = std::chrono::steady_clock::now();
  for (const Uncounted& thread : uncounted_) {
    if (thread.operation.empty()) continue;
    const double waited_s = std::chrono::duration<double>(now - thread.since).count();
    if (activity.waits && waited_s <= activity.waited_s) continue;
    activity.waits = true;
    activity.waited_s = waited_s;
    activity.operation = thread.operation;
  }
  return activity;
}

}  // namespace deda::comm
