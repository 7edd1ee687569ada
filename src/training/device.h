// Torch's side of the compute plan: device, threads and precision.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "training/config.h"

namespace deda::training {

// "cpu, 2 threads" or "cuda:0".
std::string describe(const at::Device& device);
// One owner of the cores: torch's intra-op pool gets its share, the inter-op pool one thread.
void apply_torch_threads(std::int64_t threads);
void apply_precision(Precision precision);
// As in train.precision.
std::string name_of(Precision precision);
// Before anything is computed on `device`; nothing for the CPU.
void apply_kernels(Kernels kernels, at::Device device);
// auto: channels-last on GPUs. On CPUs PyTorch's channels-last batch norm adds up in float32 one after the
// other, 20 times farther from the exact result than its plain one, and is no faster for small pictures.
bool use_channels_last(const TrainConfig& config, at::Device device);

// bf16 or fp16 autocast while in scope; nothing for other precisions, nor for fp16 on CPUs, where LibTorch
// has fp16 convolutions, but no fast gradients of them (oneDNN's reference code: a hundred times slower).
// Casts of weights are forgotten at the end, since the optimizer changes the weights.
class AutocastScope {
 public:
  AutocastScope(Precision precision, at::DeviceType type);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool active_;
  bool was_enabled_ = false;
  at::DeviceType type_;
};

}  // namespace deda::training
