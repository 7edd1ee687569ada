// Runs operations of the device on the host, over the same memory: the one place that all work goes through.
#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include "pretended_device/host_tensors.h"

namespace deda::pretended {

// Inside, the dispatcher goes straight to kernels: no autograd, no casts.
class HostScope {
 private:
  at::AutoDispatchBelowADInplaceOrView below_autograd_;
  c10::impl::ExcludeDispatchKeyGuard no_casts_{c10::autocast_dispatch_keyset};
};

// Runs `operation` on its arguments (tensors of the host only; those of the device as seen by `tensors`),
// records it where the current stream is recorded, and returns its results as tensors of the device; None for
// those that are arguments written to.
torch::jit::Stack run_on_host(const c10::OperatorHandle& operation, torch::jit::Stack arguments,
                              HostTensors& tensors);

// The kernel of every operation that has none of its own.
void boxed_kernel(const c10::OperatorHandle& operation, torch::jit::Stack* stack);

}  // namespace deda::pretended
