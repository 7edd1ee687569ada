// PyTorch's AdamW, in its single-tensor order of operations: decay, first moment, second moment, step.
// Element-wise, so that training one row of an embedding equals training the whole table and putting the
// other rows back (textual_inversion.py of diffusers).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace deda::diffusion {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 1e-2;
};

class AdamW {
 public:
  struct Moments {
    at::Tensor first, second;  // exp_avg, exp_avg_sq
  };
  // Parameters are updated in place.
  AdamW(std::vector<at::Tensor> parameters, AdamWOptions options);
  void step(const std::vector<at::Tensor>& gradients, double learning_rate);
  const std::vector<Moments>& moments() const { return moments_; }
  std::int64_t steps() const { return steps_; }
  void restore(const std::vector<Moments>& moments, std::int64_t steps);

 private:
  std::vector<at::Tensor> parameters_;
  AdamWOptions options_;
  std::vector<Moments> moments_;
  std::int64_t steps_ = 0;
};

}  // namespace deda::diffusion
