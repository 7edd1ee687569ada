#include "device/upload.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace deda::device {

Uploader::Uploader(c10::Device device)
    : device_{device}, stream_{c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)} {}

at::Tensor Uploader::start(const at::Tensor& host) {
  const auto computing = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  at::Tensor copy;
  {
    const c10::StreamGuard guard(stream_);
    copy = at::empty_like(host, host.options().device(device_).pinned_memory(false));
    copy.copy_(host, /*non_blocking=*/true);
  }
  // Its memory is this stream's; the allocator must not hand it out again before the kernels are through.
  c10::impl::VirtualGuardImpl(device_.type()).recordDataPtrOnStream(copy.storage().data_ptr(), computing);
  if (!copied_) copied_.emplace(device_.type());
  copied_->record(stream_);
  return copy;
}

void Uploader::ready() {
  if (copied_) copied_->block(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
}

void Uploader::finish_reading() {
  if (copied_ && !copied_->query()) copied_->synchronize();
}

at::Tensor upload(const at::Tensor& host, c10::Device device) {
  if (host.device() == device || device.is_cpu()) return host;
  return host.contiguous().pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace deda::device
