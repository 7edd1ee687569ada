// Ends a job that hangs inside a call which cannot be watched: MPI-IO below HDF5 waits for ever when one
// rank's disk fails in the middle of a collective write. Internal to src/io.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace deda::io {

// While it lives, and unless progress() was called within Communicator::timeout_s(), prints what hung and
// aborts all ranks.
class HangGuard {
 public:
  explicit HangGuard(std::string what);
  ~HangGuard();
  HangGuard(const HangGuard&) = delete;
  HangGuard& operator=(const HangGuard&) = delete;
  void progress();
  // This rank met an error that the others may not know of: from now on everything together may take only a
  // few seconds more, and the message says why.
  void failed(std::string why);

 private:
  void watch();
  std::string what_, failure_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int steps_ = 0;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace deda::io
