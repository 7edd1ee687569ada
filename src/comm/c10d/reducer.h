// Averages gradients over the ranks while the backward pass still runs.
// Wraps c10d::Reducer: parameters are packed into buckets in the order in which their gradients appear, and a
// full bucket travels at once. The only file that knows how LibTorch's releases differ.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <vector>

namespace c10d {
class Reducer;
}

namespace deda::comm {

// Per step: prepare_for_forward(), forward, prepare_for_backward(), loss.backward(); then every parameter's
// grad() is the mean over all ranks. Weigh the losses so that the mean is what is wanted (equal batch sizes:
// nothing to do). Zero gradients in place: they are views of the buckets.
//
// EVERY parameter must receive a gradient in every step: a bucket that lacks one would never travel. Hand it
// only what trains. A step that left one out is refused by require_reduced(), which the next
// prepare_for_forward() calls as well; the message lists the parameters.
//
// With one rank all functions do nothing.
class GradientReducer {
 public:
  // Collective. Order of `parameters`: as in the forward pass. `names` (optional, same length) appear in
  // messages. Throws ModelError (all problems at once) for parameters that need no gradient, appear twice, or
  // are on several devices; CommError when the ranks hold different parameters.
  GradientReducer(const std::vector<at::Tensor>& parameters, c10::intrusive_ptr<c10d::ProcessGroup> group,
                  double bucket_megabytes = 25.0, std::vector<std::string> names = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  void prepare_for_forward();
  void prepare_for_backward(const at::Tensor& loss);
  // After backward(): ModelError when parameters received no gradient, so that nothing was averaged.
  void require_reduced();

 private:
  std::unique_ptr<c10d::Reducer> reducer_;  // null with one rank
  std::vector<at::Tensor> parameters_;      // in the reducer's order; empty with one rank
  std::vector<std::string> names_;          // in the same order
  bool in_step_ = false;
};

}  // namespace deda::comm
