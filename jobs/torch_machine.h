// LibTorch and the GPUs as plain text, so that `deda doctor` and `deda --version` need no LibTorch to
// compile.
#pragma once

#include <string>
#include <vector>

namespace deda::jobs {

struct TorchMachine {
  std::string version;  // "2.11.0"; empty: this build has no LibTorch
  std::string plugin;   // where the CUDA/NCCL plugin was loaded from, or why there is none
  bool plugin_loaded = false;
  bool plugin_not_built = false;     // configured, but its file is nowhere
  std::vector<std::string> devices;  // one line per GPU that this process sees
  bool lacks_bfloat16 = false;       // one of them has neither bf16 nor TF32 units (before Ampere: V100)
};

TorchMachine describe_torch_machine();

}  // namespace deda::jobs
