#include "core/allocator.h"

#include <cstdlib>
#include <string_view>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace deda {

void keep_freed_memory() {
#if defined(__GLIBC__)
  constexpr int kept_in_the_heap_bytes = 32 << 20;  // the most that glibc allows
  constexpr int idle_bytes = 256 << 20;
  const char* tunables = std::getenv("GLIBC_TUNABLES");
  if (tunables != nullptr && std::string_view{tunables}.find("glibc.malloc.") != std::string_view::npos)
    return;
  if (std::getenv("MALLOC_MMAP_THRESHOLD_") != nullptr || std::getenv("MALLOC_TRIM_THRESHOLD_") != nullptr)
    return;
  mallopt(M_MMAP_THRESHOLD, kept_in_the_heap_bytes);
  mallopt(M_TRIM_THRESHOLD, idle_bytes);
#endif
}

}  // namespace deda
