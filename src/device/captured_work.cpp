#include "device/captured_work.h"

#include <c10/util/Exception.h>

#include <utility>

#include "core/log.h"

namespace deda::device {

CapturedWork::CapturedWork(const comm::CudaPlugin* plugin, std::string what)
    : plugin_{plugin}, what_{std::move(what)} {
  if (plugin_ == nullptr) refusal_ = "there is no GPU";
}

CapturedWork::~CapturedWork() = default;

bool CapturedWork::record(const std::function<void()>& work) {
  if (!possible()) return false;
  try {
    recorded_ = plugin_->capture(work, /*warm_ups=*/0);
    log_info("{} is recorded as one graph", what_);
    return true;
  } catch (const c10::Error& error) {
    refuse(error.what_without_backtrace());
  } catch (const std::exception& error) {
    refuse(error.what());
  }
  return false;
}

void CapturedWork::replay() const {
  recorded_->replay();
}

void CapturedWork::refuse(std::string reason) {
  recorded_.reset();
  refusal_ = std::move(reason);
  log_warning("{} is not recorded as a graph and runs kernel by kernel: {}", what_, refusal_);
}

void CapturedWork::forget() {
  recorded_.reset();
}

}  // namespace deda::device
