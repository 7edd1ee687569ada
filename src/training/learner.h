// The network, its optimizer and the averaging of gradients: what one data-parallel step needs, and nothing
// of epochs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "comm/communicator.h"
#include "device/captured_work.h"
#include "device/place.h"
#include "models/classifiers/batch_norm.h"
#include "models/classifiers/classifier.h"
#include "models/weights/tensor_file.h"
#include "training/config.h"
#include "training/device_feed.h"
#include "training/gradient_scaler.h"
#include "training/mixing/device_mixer.h"
#include "training/normalise.h"
#include "training/objective.h"
#include "training/sgd.h"

namespace deda::comm {
class GradientReducer;
}
namespace c10d {
class ProcessGroup;
}

namespace deda::training {

class StepTracer;

class Learner {
 public:
  // Collective. Initial weights are a function of the seed, or come from config.weights (DataError lists all
  // misfits). `side`: of the pictures, in pixels; 0: that of the network's published weights. `ranks` is
  // referred to and outlives the learner.
  // `mixing`: the settings of the method that mixes batches, copied; null: none.
  Learner(const comm::Communicator& ranks, const TrainConfig& config, std::int64_t classes,
          std::uint64_t seed, const device::Place& place, std::int64_t side = 0,
          const mixing::Settings* mixing = nullptr);
  Learner(const comm::Communicator&&, const TrainConfig&, std::int64_t, std::uint64_t, const device::Place&,
          std::int64_t = 0, const mixing::Settings* = nullptr) = delete;
  ~Learner();

  // Collective: one optimizer step over a global batch of `global_size` samples of which `batch` is this
  // rank's share, maybe empty. Gradients are those of the mean loss over the global batch, whatever the
  // shares. Batch norm uses the share's own statistics, as PyTorch's data parallelism does, or those of the
  // global batch (config.batch_norm). In fp16 a step whose gradients overflow on any rank is skipped on all.
  // Returns the sum of this rank's losses, a float64 scalar on the device (summed over the ranks and divided
  // by `global_size` it is that mean loss): reading it waits for the device; nothing else in here does.
  // `plan`: of the global batch, where a method mixes on the device (config of the constructor); the loss is
  // then that of the mixed pictures. A batch whose saliency is not finite is trained on unmixed.
  at::Tensor step(const DeviceBatch& batch, std::int64_t global_size, double learning_rate,
                  StepTracer* tracer, const mixing::BatchPlan* plan = nullptr);
  // Batches that could not be mixed since the learner was made; alike on all ranks.
  std::int64_t left_unmixed() const { return left_unmixed_; }

  // Collective: running statistics of rank 0 everywhere, as PyTorch's data parallelism has them.
  void synchronise_buffers();
  // Of fp16, else nothing. Waits for the device.
  std::optional<LossScale> loss_scale() const;
  // False where a parameter is infinite or not a number.
  bool finite() const;
  // Parameters, buffers ("model.NAME"), momentum ("momentum.NAME") and the loss scale of fp16
  // ("scaler.NAME"), sharing storage.
  models::NamedTensors tensors() const;
  // Collective: rank 0 gives what tensors() gave once; all ranks take it over. DataError lists what does not
  // fit.
  void restore(const models::NamedTensors& tensors);

  models::Classifier& network() { return *network_; }
  const Sgd& optimizer() const { return *optimizer_; }

 private:
  at::Tensor forward_and_loss(const DeviceBatch& share, StepTracer* tracer);
  // The optimizer's step, told whether gradients overflowed (Sgd::step).
  using OptimizerStep = std::function<void(const std::optional<at::Tensor>& overflow)>;

  at::Tensor run_step(const DeviceBatch& share, double weight, const OptimizerStep& optimizer_step,
                      StepTracer* tracer);
  bool captured_step(const DeviceBatch& share, double learning_rate);
  at::Tensor empty_share_loss();
  // What to train on instead of `share`: mixed pictures of the same size, or, where that cannot be, the share
  // without its sources. Leaves gradients to begin with in kept_gradients_.
  DeviceBatch mixed(const DeviceBatch& share, const mixing::BatchPlan& plan, std::int64_t global_size,
                    StepTracer* tracer);
  at::Tensor gradients_by_picture(const at::Tensor& pictures, const at::Tensor& labels, double factor,
                                  bool keep);
  at::Tensor class_activations(const at::Tensor& pictures, const at::Tensor& labels);
  void share_batch_norm(c10::intrusive_ptr<c10d::ProcessGroup> group);
  void clear_gradients();

  const comm::Communicator& ranks_;
  TrainConfig config_;
  at::Device device_;
  bool channels_last_;
  bool attention_in_order_;
  std::int64_t side_;  // of the pictures; 0: not known
  Normaliser normalise_;
  std::shared_ptr<models::Classifier> network_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Sgd> optimizer_;
  std::unique_ptr<comm::GradientReducer> reducer_;        // null with one rank
  std::unique_ptr<GradientScaler> scaler_;                // null but for fp16
  c10::intrusive_ptr<models::GlobalBatch> global_batch_;  // null where batch norm is local
  c10::intrusive_ptr<c10d::ProcessGroup> group_;          // null with one rank
  std::optional<mixing::Settings> mixing_;
  std::unique_ptr<DeviceMixer> mixer_;      // null but for methods that mix on the device
  std::vector<at::Tensor> kept_gradients_;  // of the batch before it was mixed, by parameter; else empty
  std::int64_t left_unmixed_ = 0;

  // The step as one graph (config.captured_graphs), and what it reads and leaves.
  device::CapturedWork graph_;
  DeviceBatch graph_batch_;
  at::Tensor graph_rate_, graph_loss_;
  std::int64_t steps_before_graph_ = 0;
};

}  // namespace deda::training
