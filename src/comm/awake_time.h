// Time in which this process could run. Internal to src/comm.
// Why: a process that was stopped (SIGSTOP, a suspended machine) finds on waking that everybody was silent
// for long, and would accuse them of its own sleep.
#pragma once

#include <algorithm>
#include <chrono>

namespace deda::comm {

// Counts as a clock does while it is asked at least every `longest_step`; of a longer gap only that much
// counts. One thread asks.
class AwakeTime {
 public:
  explicit AwakeTime(double longest_step_s) : longest_step_s_{longest_step_s} {}
  // Seconds since the first call.
  double now_s() {
    const auto now = std::chrono::steady_clock::now();
    if (last_ != std::chrono::steady_clock::time_point{})
      awake_s_ += std::min(std::chrono::duration<double>(now - last_).count(), longest_step_s_);
    last_ = now;
    return awake_s_;
  }

 private:
  double longest_step_s_, awake_s_ = 0;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace deda::comm
