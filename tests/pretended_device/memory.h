// The device's memory: host memory that is counted and limited as a GPU's would be, and pinned host memory
// that is remembered as such.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/Storage.h>

#include <cstdint>

namespace deda::pretended {

struct MemoryUse {
  std::int64_t current = 0, peak = 0, total = 0;  // bytes; total: DEDA_PRETENDED_MEMORY_MB
};
MemoryUse memory_use();
void reset_memory_peak();

c10::Allocator& device_allocator();
c10::Allocator& pinned_allocator();
bool is_pinned(const void* pointer);  // anywhere inside an allocation of pinned_allocator()

// The memory of a result that was computed on the host, as memory of the device: nothing is copied.
// Throws c10::OutOfMemoryError where the device is full.
c10::DataPtr adopt(c10::Storage host);

// Gives a storage of the device other memory of that size; what fits of the old contents is kept.
void resize_storage(const c10::Storage& storage, std::size_t bytes);

// The same memory, seen as the host's. Keeps it alive.
c10::DataPtr host_view(const c10::DataPtr& device_memory);

}  // namespace deda::pretended
