// Batch norm of pictures whose statistics may be those of a batch that is spread over several ranks, as
// torch.nn.SyncBatchNorm has them, but also for empty and unequal shares, and on CPUs.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/nn/modules/batchnorm.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace deda::models {

// The batch of one training step over all ranks; shared by all layers of a network.
struct GlobalBatch final : torch::CustomClassHolder {
  // Overwrites a tensor on the network's device with its sum over the ranks. Collective: every layer calls it
  // once in the forward pass and once in the backward pass, in the same order on all ranks.
  std::function<void(at::Tensor& sums)> add_up;
  // False where this rank has none of them: whatever it sends through the network is normalised as the
  // others' pictures are, but counts for nothing, and its gradients are zero.
  bool takes_part = true;
};

// nn::BatchNorm2d with its names and options. In training with a GlobalBatch: mean and variance over all
// ranks' pictures, in the gradients too (which are this rank's part of the sum over ranks, for the averaging
// of gradients to add up); running statistics from the same numbers, alike on all ranks. Sums travel in
// float64. Else exactly torch's.
class BatchNorm2dImpl : public torch::nn::BatchNorm2dImpl {
 public:
  using torch::nn::BatchNorm2dImpl::BatchNorm2dImpl;
  at::Tensor forward(const at::Tensor& x);
  // A training pass with these parameters that leaves the running statistics alone: for networks that compute
  // a layer anew in the backward pass. With a GlobalBatch collective, as forward() is.
  at::Tensor again(const at::Tensor& x, const at::Tensor& with_weight, const at::Tensor& with_bias) const;
  void use_global_batch(c10::intrusive_ptr<GlobalBatch> batch) { batch_ = std::move(batch); }
  // Whether training passes leave the running statistics alone.
  void keep_running_statistics(bool keep) { keeps_running_statistics_ = keep; }

 private:
  c10::intrusive_ptr<GlobalBatch> batch_;
  bool keeps_running_statistics_ = false;
};
TORCH_MODULE(BatchNorm2d);

// All batch norm layers of the network from now on. ModelError naming layers of another kind.
void use_global_batch_norm(torch::nn::Module& network, const c10::intrusive_ptr<GlobalBatch>& batch);

// In scope, training passes through the network leave its running statistics alone.
class RunningStatisticsKept {
 public:
  explicit RunningStatisticsKept(torch::nn::Module& network);
  ~RunningStatisticsKept();
  RunningStatisticsKept(const RunningStatisticsKept&) = delete;
  RunningStatisticsKept& operator=(const RunningStatisticsKept&) = delete;

 private:
  torch::nn::Module& network_;
};

}  // namespace deda::models
