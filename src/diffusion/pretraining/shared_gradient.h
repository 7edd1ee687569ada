// Gradients of a batch computed by several threads, each on its share with one core, added in a fixed order:
// the same sums on any machine with any number of cores, and all cores busy.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

namespace deda::diffusion {

struct LossAndGradients {
  double loss = 0;                    // sum over the shares
  std::vector<at::Tensor> gradients;  // of the parameters, sum over the shares
};

class SharedGradient {
 public:
  explicit SharedGradient(std::size_t shares);  // starts shares - 1 threads; the caller works too
  ~SharedGradient();
  // `loss_of(share)` returns a scalar; their sum is the batch's loss. Exceptions are passed on.
  LossAndGradients run(const std::vector<at::Tensor>& parameters,
                       const std::function<at::Tensor(std::size_t)>& loss_of);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deda::diffusion
