// Copies between host and device, and when they make the host wait.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "pretended_device/activity.h"
#include "pretended_device/host_calls.h"
#include "pretended_device/memory.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.is_non_overlapping_and_dense() && a.sizes() == b.sizes() &&
         a.strides() == b.strides();
}

// CUDA copies plain runs of bytes. Where the layouts differ, one side is first brought into order, and on the
// host that takes other memory, which is not pinned.
bool pinned_all_the_way(const at::Tensor& on_host, const at::Tensor& on_device) {
  return is_pinned(on_host.const_data_ptr()) && (same_layout(on_host, on_device) || on_host.is_contiguous());
}

void check_copy_to_device(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() == 0) return;
  if (!non_blocking)
    host_waits("a blocking copy to the device");
  else if (!pinned_all_the_way(from, to))
    host_waits("a copy to the device from memory that is not pinned");
  count_copy_to_device(static_cast<std::int64_t>(from.nbytes()));
}

void check_copy_to_host(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() == 0) return;
  if (!non_blocking)
    host_waits("a blocking copy to the host");
  else if (!pinned_all_the_way(to, from) || to.scalar_type() != from.scalar_type())
    host_waits("a copy to memory of the host that is not pinned");
  count_copy_to_host(static_cast<std::int64_t>(from.nbytes()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  const HostScope no_autograd;
  static const auto copy = c10::Dispatcher::singleton().findSchemaOrThrow("aten::copy_", "");
  const auto source = from.sizes() == to.sizes() ? from : from.expand_as(to);
  if (!on_device(from))
    check_copy_to_device(source, to, non_blocking);
  else if (!on_device(to))
    check_copy_to_host(source, to, non_blocking);
  else
    count_operation("aten::copy_");
  HostTensors tensors;
  const auto seen = [&](const at::Tensor& tensor) {
    return on_device(tensor) ? tensors.view(tensor) : tensor.detach();
  };
  run_on_host(copy, {seen(to), seen(source), non_blocking}, tensors);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, /*non_blocking=*/false);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
}

}  // namespace
}  // namespace deda::pretended
