// Which device a rank trains on and how many threads it may use: decided alike on all ranks, once, before
// work starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "device/place.h"
#include "training/config.h"

namespace deda::training {

// A rank's share of the host's cores, split between the network and the composers of samples.
struct ThreadPlan {
  std::int64_t torch = 1;
  std::int64_t composers = 1;
};

struct ComputePlan {
  device::Place place;
  ThreadPlan threads;
  std::vector<std::string> doubts;  // a sentence each: a precision that this device does not gain from
};

// Collective; errors as device::choose(), and ConfigError for a precision that the device has no units for
// (bf16 before Ampere). `threads`: cores of this rank, 0: its share of the host's.
ComputePlan plan_compute(const TrainConfig& config, std::int64_t threads, const comm::Communicator& ranks);

}  // namespace deda::training
