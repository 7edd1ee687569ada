// Which device a rank computes on and how many threads it may use: decided alike on all ranks, once, before
// work starts. No Torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "training/config.h"

namespace deda::training {

// A rank's share of the host's cores, split between the network and the composers of samples.
struct ThreadPlan {
  std::int64_t torch = 1;
  std::int64_t composers = 1;
};

struct ComputePlan {
  int gpu = -1;  // index for this process; -1: the CPU
  ThreadPlan threads;
  std::vector<std::string> lines;  // for the log: which rank computes where
};

// Collective. auto: the GPUs where every rank sees one of its own, else the CPUs everywhere; ConfigError
// where there are more ranks than GPUs, and where cuda was asked for and cannot be had (with the reason).
// `threads`: cores of this rank, 0: its share of the host's.
ComputePlan plan_compute(const TrainConfig& config, std::int64_t threads, const comm::Communicator& ranks);

}  // namespace deda::training
