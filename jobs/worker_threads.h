// How many threads of its own a rank may have for work on the CPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

#include "comm/communicator.h"

namespace deda::jobs {

// `configured` (run.threads) where it is set, else the rank's share of the host's cores.
inline int worker_threads(const comm::Communicator& ranks, std::int64_t configured) {
  if (configured > 0) return static_cast<int>(configured);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, cores / ranks.local_size());
}

}  // namespace deda::jobs
