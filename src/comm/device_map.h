// Which rank uses which GPU and how many cores, decided alike on all ranks, and the lines that say so when a
// run starts. Why: NCCL does not support two ranks on one GPU, thread pools that all take every core slow
// each other down, and a wrong binding costs hours silently.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace deda::comm {

// A GPU that this process can see. `id` is the same text for the same physical device in every process of the
// host (PCI address or UUID); the index is the position in the list that the process sees.
struct VisibleDevice {
  std::string id;
  std::string name;
};

struct RankPlace {
  std::string host;
  int device = -1;          // index for this rank's process; -1: the CPU
  std::string device_name;  // empty on the CPU
  int cores = 1;  // share of the host's cores: those this rank may use, divided by the ranks that share them
};

// What one rank tells the others before the devices are dealt out.
struct RankResources {
  std::string host;
  std::string core_mask;  // the cores that the rank may run on, as text
  int core_count = 1;
  std::vector<VisibleDevice> devices;
};

// Pure: rank r takes the first device in its list that no lower rank of its host took. Without devices on any
// rank: CPUs. Throws ConfigError (all hosts at once) where a host has more ranks than GPUs or only some ranks
// see a GPU.
std::vector<RankPlace> deal_out(const std::vector<RankResources>& resources);

// Collective: gathers what each rank sees and deals it out. Pass no devices to run on CPUs.
std::vector<RankPlace> place_ranks(const Communicator& ranks, const std::vector<VisibleDevice>& devices);

// The lines for the start of a run: one per host, "node1: ranks 0-3 on GPU 0-3 (NVIDIA A100), 16 cores each".
// With one rank inside a larger Slurm step a further line warns that srun and MPI do not know each other.
std::vector<std::string> describe_places(const std::vector<RankPlace>& places);

}  // namespace deda::comm
