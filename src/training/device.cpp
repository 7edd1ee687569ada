#include "training/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <fmt/format.h>

#include "core/log.h"
#include "device/kernels.h"

namespace deda::training {

std::string describe(const at::Device& device) {
  return device.is_cpu() ? fmt::format("cpu, {} threads", at::get_num_threads()) : device.str();
}

void apply_torch_threads(std::int64_t threads) {
  at::set_num_threads(static_cast<int>(threads));
  static const bool once = [] {
    try {
      at::set_num_interop_threads(1);
    } catch (const c10::Error&) {
      log_debug("the inter-op pool has started already and keeps its size");
    }
    return true;
  }();
  (void)once;
}

void apply_precision(Precision precision) {
  const bool reduced = precision == Precision::tf32;
  at::globalContext().setAllowTF32CuBLAS(reduced);
  at::globalContext().setAllowTF32CuDNN(reduced);
}

std::string name_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return "fp32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
    case Precision::fp16:
      break;
  }
  return "fp16";
}

void apply_kernels(Kernels kernels, at::Device device) {
  if (device.is_cpu()) return;
  if (kernels == Kernels::reproducible) {
    device::use_reproducible_kernels();
  } else {
    device::use_fastest_kernels();
  }
}

bool use_channels_last(const TrainConfig& config, at::Device device) {
  if (config.memory_order != MemoryOrder::automatic) return config.memory_order == MemoryOrder::channels_last;
  return !device.is_cpu();
}

AutocastScope::AutocastScope(Precision precision, at::DeviceType type)
    : active_{precision == Precision::bf16 || (precision == Precision::fp16 && type != at::kCPU)},
      type_{type} {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(type_);
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_, precision == Precision::bf16 ? at::kBFloat16 : at::kHalf);
  at::autocast::increment_nesting();
}

AutocastScope::~AutocastScope() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, was_enabled_);
}

}  // namespace deda::training
