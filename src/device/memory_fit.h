// How many samples fit into a device's memory at once, measured instead of guessed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "comm/c10d/cuda_plugin.h"

namespace deda::device {

struct MemoryFit {
  std::int64_t at_once = 1;
  std::int64_t bytes_fixed = 0, bytes_per_sample = 0;  // as measured
  std::string line;                                    // for the log
};

// Pure: the most samples, up to `most`, whose peak fixed + n * per_sample stays within `share` of `free`; at
// least 1.
std::int64_t samples_that_fit(std::int64_t free, std::int64_t fixed, std::int64_t per_sample, double share,
                              std::int64_t most);

// Runs `work(n)` with one and with two samples, takes the difference of their peaks as what a sample costs,
// and keeps a tenth of the memory free (fragmentation, libraries' workspaces). `sharers`: threads that do
// such work at the same time. `what` names the work in the log line. On the current device of `plugin`, whose
// index is `device`.
MemoryFit fit_into_memory(const comm::CudaPlugin& plugin, int device, const std::string& what,
                          std::int64_t most, int sharers,
                          const std::function<void(std::int64_t samples)>& work);

}  // namespace deda::device
