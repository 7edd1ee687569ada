// The group of ranks as LibTorch wants it: a c10d::ProcessGroup whose tensors move over our MPI back end
// (CPU) or NCCL (GPU).
#pragma once

#include <ATen/core/Tensor.h>

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <vector>

#include "comm/c10d/cuda_plugin.h"
#include "comm/communicator.h"

namespace deda::comm {

enum class DeviceKind { cpu, cuda };

// Collective. `device` is this rank's GPU (device_map.h), ignored on the CPU. DeviceKind::cuda needs the
// plugin of load_cuda_plugin(); ConfigError with the plugin's reason where there is none. Keep `ranks` and
// MPI alive as long as the group.
c10::intrusive_ptr<c10d::ProcessGroup> make_process_group(const Communicator& ranks, DeviceKind kind,
                                                          int device = -1);

// Collective: a key-value store that all ranks share. Alone: in memory. Else rank 0 serves it over TCP on a
// free port, whose address travels over MPI.
c10::intrusive_ptr<c10d::Store> make_shared_store(const Communicator& ranks);

// Collective: overwrites the tensors with those of rank `root`, so that all replicas start equal.
void broadcast_tensors(c10d::ProcessGroup& group, const std::vector<at::Tensor>& tensors, int root = 0);

// Collective: bytes per second of bus bandwidth, S/t * 2(n-1)/n, of a 64 MB all-reduce on `device`; 0 for one
// rank. Printed at the start of a run: a wrong network adapter shows here and nowhere else.
double measure_all_reduce_bandwidth(c10d::ProcessGroup& group, at::Device device);

}  // namespace deda::comm
