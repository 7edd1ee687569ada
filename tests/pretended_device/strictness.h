// Where CUDA is strict: which operations make the host wait, and which tensors may meet in one operation.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <string>

namespace deda::pretended {

// Why the host would wait for this operation; empty: it would not.
std::string reason_to_wait(const c10::OperatorHandle& operation, const torch::jit::Stack& arguments);

// Throws where tensors (or a generator) of the host meet those of the device. As with CUDA the host's numbers
// (0-dim tensors that are only read) may take part in element-wise operations, and its indices in indexing.
void check_devices(const c10::OperatorHandle& operation, const torch::jit::Stack& arguments);

}  // namespace deda::pretended
