#include "training/compute_plan.h"

#include <algorithm>

#include "comm/c10d/cuda_plugin.h"
#include "comm/device_map.h"
#include "core/error.h"

namespace deda::training {
namespace {

ThreadPlan split_cores(const TrainConfig& config, std::int64_t cores, bool on_gpu) {
  constexpr std::int64_t cores_per_composer = 8, most_composers_on_cpu = 4;
  ThreadPlan plan;
  // Beside a GPU the composers have all cores but the one that launches kernels. Beside a network on the CPU
  // one composer in eight cores is busy a small part of the time.
  plan.composers = on_gpu ? std::max<std::int64_t>(1, cores - 1)
                          : std::clamp<std::int64_t>(cores / cores_per_composer, 1, most_composers_on_cpu);
  if (config.composer_threads > 0) plan.composers = config.composer_threads;
  plan.torch = on_gpu ? 1 : cores;
  if (config.torch_threads > 0) plan.torch = config.torch_threads;
  return plan;
}

}  // namespace

ComputePlan plan_compute(const TrainConfig& config, std::int64_t threads, const comm::Communicator& ranks) {
  comm::LoadedCudaPlugin cuda{nullptr, "train.device = \"cpu\""};
  if (config.device != DeviceChoice::cpu) cuda = comm::load_cuda_plugin();
  const auto devices = cuda.plugin != nullptr ? cuda.plugin->devices() : std::vector<comm::VisibleDevice>{};
  if (config.device == DeviceChoice::cuda && !ranks.any(cuda.plugin != nullptr && !devices.empty())) {
    throw ConfigError("train.device = \"cuda\" cannot be had: " +
                          (cuda.plugin != nullptr ? std::string{"no GPU is visible"} : cuda.reason),
                      "train.device", "Run `deda doctor`, or set train.device = \"auto\".");
  }
  const auto places = comm::place_ranks(ranks, devices);
  const auto& mine = places.at(static_cast<std::size_t>(ranks.rank()));
  ComputePlan plan;
  plan.lines = comm::describe_places(places);
  plan.gpu = mine.device;
  if (plan.gpu >= 0) cuda.plugin->set_device(plan.gpu);
  plan.threads = split_cores(config, threads > 0 ? threads : mine.cores, plan.gpu >= 0);
  return plan;
}

}  // namespace deda::training
