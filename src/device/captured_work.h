// Work of a device that is recorded once and then started by one call (a CUDA graph): a step of a thousand
// small kernels costs the host microseconds instead of milliseconds. Recording can fail; the work then goes
// on as before, and says why.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/c10d/cuda_plugin.h"

namespace deda::device {

class CapturedWork {
 public:
  // `what` names the work in the log ("the training step"). `plugin` null (CPU): never records.
  CapturedWork(const comm::CudaPlugin* plugin, std::string what);
  ~CapturedWork();
  // Whether replay() may be called.
  bool ready() const { return recorded_ != nullptr; }
  // False where recording was refused or failed before: reason() says why.
  bool possible() const { return refusal_.empty(); }
  const std::string& reason() const { return refusal_; }

  // Records `work`, without running it: it must have run at least once before with tensors of the same
  // shapes, so that libraries are set up. Its inputs must stay where they are, what it makes is overwritten
  // by each replay. False: it cannot be recorded; a warning with the reason was logged, once.
  bool record(const std::function<void()>& work);
  void replay() const;
  void refuse(std::string reason);  // logs it
  void forget();                    // frees the recording; it may be made anew

 private:
  const comm::CudaPlugin* plugin_;
  std::string what_, refusal_;
  std::unique_ptr<comm::CapturedWork> recorded_;
};

}  // namespace deda::device
