// Which device a rank computes on: chosen once per job, alike on all ranks, for every stage by the same rule.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <string_view>
#include <vector>

#include "comm/c10d/cuda_plugin.h"
#include "comm/communicator.h"
#include "core/device_choice.h"

namespace deda::device {

struct Place {
  c10::Device device = c10::kCPU;
  std::string name;                          // of the GPU; empty on the CPU
  int cores = 1;                             // this rank's share of the host's
  const comm::CudaPlugin* plugin = nullptr;  // what a GPU offers; null on the CPU
  std::vector<std::string> lines;            // for the log: which rank computes where
};

// Collective. automatic: a GPU of its own for every rank where there are GPUs, else the CPU everywhere.
// ConfigError (naming `key`) where a GPU was asked for and cannot be had, with the plugin's reason, and where
// a host has more ranks than GPUs. The rank's GPU is made the current one.
Place choose(const comm::Communicator& ranks, DeviceChoice choice, std::string_view key);

}  // namespace deda::device
