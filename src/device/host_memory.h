// Host memory that copies to a device start from. Pinned for a GPU: only then does a copy run beside the
// kernels instead of making the host wait.
#pragma once

#include <c10/core/Device.h>

#include <memory_resource>

namespace deda::device {

// Pinned memory where `device` is a GPU, else the default resource. Lives as long as the process; blocks that
// are given back are kept by LibTorch and reused, because pinning costs milliseconds.
std::pmr::memory_resource* host_memory_for(c10::Device device);

}  // namespace deda::device
