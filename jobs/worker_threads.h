// How many threads of its own a rank may have for work on the CPU.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "comm/device_map.h"

namespace deda::jobs {

// `configured` (run.threads) where it is set, else the rank's share of the cores that it may use: as everywhere
// else (comm/device_map.h), affinity counts and not the machine's number of cores. Collective.
inline int worker_threads(const comm::Communicator& ranks, std::int64_t configured) {
  const auto places = comm::place_ranks(ranks, {});
  if (configured > 0) return static_cast<int>(configured);
  return places.at(static_cast<std::size_t>(ranks.rank())).cores;
}

}  // namespace deda::jobs
