#include "jobs/torch_machine.h"

#ifdef DEDA_TORCH
#include <fmt/format.h>
#include <torch/version.h>

#include "comm/c10d/cuda_plugin.h"
#endif

namespace deda::jobs {

#ifdef DEDA_TORCH

TorchMachine describe_torch_machine() {
  constexpr double bytes_per_gib = 1024.0 * 1024.0 * 1024.0;
  const comm::LoadedCudaPlugin& loaded = comm::load_cuda_plugin();
  TorchMachine machine;
  machine.version = TORCH_VERSION;
  machine.plugin_loaded = loaded.plugin != nullptr;
  machine.plugin_not_built = loaded.not_built;
  machine.plugin = loaded.reason;
  if (loaded.plugin == nullptr) return machine;
  machine.plugin = fmt::format("{}, NCCL {}", loaded.reason, loaded.plugin->nccl_version());
  for (int device = 0; device < loaded.plugin->device_count(); ++device) {
    const bool has_bfloat16 = loaded.plugin->has_bfloat16(device);
    machine.lacks_bfloat16 |= !has_bfloat16;
    machine.devices.push_back(fmt::format(
        "GPU {}: compute capability {}, {:.1f} GiB free{}", device, loaded.plugin->compute_capability(device),
        static_cast<double>(loaded.plugin->free_bytes(device)) / bytes_per_gib,
        has_bfloat16 ? "" : "; no bf16 or TF32 units: train.precision = \"fp16\" is the fast one"));
  }
  return machine;
}

#else

TorchMachine describe_torch_machine() {
  TorchMachine machine;
  machine.plugin = "not in this build (DEDA_TORCH=OFF)";
  return machine;
}

#endif

}  // namespace deda::jobs
