#include "training/compute_plan.h"

#include <fmt/format.h>

#include <algorithm>

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

// A GPU without units for it would compute bf16 by emulation, many times slower than fp32, and refuses it in
// convolutions of some shapes.
void check_precision(const TrainConfig& config, const comm::Communicator& ranks, const device::Place& place) {
  ranks.agree("looking at train.precision", [&] {
    if (config.precision != Precision::bf16 || place.plugin == nullptr ||
        place.plugin->has_bfloat16(place.device.index()))
      return;
    throw ConfigError(fmt::format("{} has no units for bf16 (compute capability {})", place.name,
                                  place.plugin->compute_capability(place.device.index())),
                      "train.precision",
                      "Set train.precision = \"fp16\", which scales the loss, or \"fp32\".");
  });
}

// What is computed as asked, but may not be what was hoped for.
std::vector<std::string> doubts_about_precision(const TrainConfig& config, const device::Place& place) {
  const bool on_cpu = place.plugin == nullptr;
  if (config.precision == Precision::tf32 && on_cpu)
    return {"train.precision = \"tf32\" is a precision of GPUs: on processors it is fp32"};
  if (config.precision == Precision::tf32 && !place.plugin->has_bfloat16(place.device.index()))
    return {
        fmt::format("{} has no units for TF32 (compute capability {}): train.precision = \"tf32\" is fp32 "
                    "there; \"fp16\" is faster",
                    place.name, place.plugin->compute_capability(place.device.index()))};
  if (config.precision == Precision::fp16 && on_cpu)
    return {
        "train.precision = \"fp16\" is a precision of GPUs: on processors it is fp32, with the loss scaled"};
  return {};
}

}  // namespace

ComputePlan plan_compute(const TrainConfig& config, std::int64_t threads, const comm::Communicator& ranks) {
  ComputePlan plan;
  plan.place = device::choose(ranks, config.device, "train.device");
  check_precision(config, ranks, plan.place);
  plan.doubts = doubts_about_precision(config, plan.place);
  plan.threads = split_cores(config, threads > 0 ? threads : plan.place.cores, plan.place.plugin != nullptr);
  return plan;
}

}  // namespace deda::training
