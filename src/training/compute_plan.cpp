#include "training/compute_plan.h"

#include <algorithm>

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
  ComputePlan plan;
  plan.place = device::choose(ranks, config.device, "train.device");
  plan.threads = split_cores(config, threads > 0 ? threads : plan.place.cores, plan.place.plugin != nullptr);
  return plan;
}

}  // namespace deda::training
