// Progress: done/total, rate over all ranks, time left. A bar on a terminal, a line per 30 s elsewhere (never
// carriage returns in a file). Rank 0 makes one; other ranks make one with speaks = false, which is silent.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace deda {

class Progress {
 public:
  // `unit` is plural ("images"); total may be 0 (unknown).
  Progress(std::string task, std::string unit, std::uint64_t total, bool speaks);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // The first call says where the work begins: 0, or what an earlier run had finished. The rate counts from
  // there.
  void advance_to(std::uint64_t done, std::string_view note = {});  // note: "loss 1.23"
  void finish();                                                    // prints the final line once

 private:
  using Clock = std::chrono::steady_clock;
  void print(bool last);
  std::string line(bool last) const;
  std::string task_, unit_, note_;
  std::uint64_t total_, done_ = 0, start_done_ = 0;
  bool speaks_, terminal_, finished_ = false, started_ = false;
  Clock::time_point made_, start_, last_print_;
};

}  // namespace deda
