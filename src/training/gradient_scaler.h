// Dynamic loss scaling for fp16, as PyTorch's torch.amp.GradScaler does it step by step: the loss is
// multiplied by a scale, so that small gradients do not vanish in half precision; a step whose gradients
// overflowed is skipped and the scale halved; after so many steps in a row without one it doubles. Nothing in
// here waits for a GPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "training/state.h"

namespace deda::training {

struct LossScaling {
  double initial = 65536;
  std::int64_t growth_interval = 2000;  // steps in a row without overflow
};

class GradientScaler {
 public:
  // `agree` overwrites a float32 scalar with its maximum over the ranks (collective), so that all of them
  // skip or none does; empty: one rank.
  GradientScaler(LossScaling options, at::Device device, std::function<void(at::Tensor&)> agree = {});

  at::Tensor scaled(const at::Tensor& loss) const { return loss * scale_; }
  // After backward and averaging: divides the parameters' gradients by the scale, in place, and tells in a
  // float32 scalar on the device whether one of them is not finite on any rank (1, else 0). The optimizer
  // skips its step then. Collective.
  const at::Tensor& unscale(const std::vector<at::Tensor>& parameters);
  // After the optimizer's step.
  void update();

  // Waits for the device.
  LossScale now() const;
  // "scale", "steps_without_overflow", "skipped": shared storage, for checkpoints.
  std::map<std::string, at::Tensor> tensors() const;

 private:
  LossScaling options_;
  std::function<void(at::Tensor&)> agree_;
  at::Tensor scale_, overflow_;        // float32 scalars
  at::Tensor steps_without_overflow_;  // int32 scalar, as PyTorch's growth tracker
  at::Tensor skipped_;                 // int64 scalar
};

}  // namespace deda::training
