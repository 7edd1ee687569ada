// What this process is doing, as its heartbeat tells it to the others: does it wait for them, where, and when
// did it last work. Internal to src/comm.
//
// "Works" is measured and not told by the work itself, so that everything outside of our operations counts:
// the processor time of all threads but those that wait or serve other ranks, and blocks read from and
// written to storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <list>
#include <mutex>
#include <string>

namespace deda::comm {

struct Activity {
  bool waits = false;       // a thread of the process waits for other ranks
  double waited_s = 0;      // for so long; of several waits the longest
  std::string operation{};  // where that one waits
  double quiet_s = 0;       // since the process last worked or completed an operation
};

class OwnActivity {
 public:
  static OwnActivity& of_process();

  void operation_completed() { completed_.fetch_add(1, std::memory_order_relaxed); }
  // `awake_s`: by the caller's AwakeTime. The process worked when it used `least_work_s` of processor time,
  // or read or wrote a mebibyte, since it last did. One thread asks.
  Activity look(double awake_s, double least_work_s);

 private:
  // A thread whose processor time is no work, for as long as it stands here.
  struct Uncounted {
    std::string operation;  // empty: it serves, and does not wait
    clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
    double used_before_s = 0;
    std::chrono::steady_clock::time_point since{};
  };

 public:
  // While one lives, the thread that made it does no work of its own.
  class Mark {
   public:
    // Waits in `operation` ("barrier (end of the epoch)"); empty: serves other ranks.
    explicit Mark(std::string operation);
    ~Mark();
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    std::list<Uncounted>::iterator place_;
  };

 private:
  double work_s();  // processor time of the process but for what does not count

  std::mutex mutex_;
  std::list<Uncounted> uncounted_;
  double uncounted_before_s_ = 0;  // of marks that ended
  std::atomic<std::int64_t> completed_{0};
  // When the process last worked, and its counters then.
  double worked_at_s_ = 0, work_then_s_ = 0;
  std::int64_t completed_then_ = 0, blocks_then_ = 0;
};

}  // namespace deda::comm
