// The one place that knows how a learner is made and how it gets its batches.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>

#include "augment/batch.h"
#include "augment/pipeline.h"
#include "training/learner.h"

namespace deda::figures {

class LearnerSteps {
 public:
  LearnerSteps(const comm::Communicator& ranks, const training::TrainConfig& config, std::int64_t classes,
               at::Device device)
      : learner_{ranks, config, classes, /*seed=*/1, device} {}

  // The loss's sum on the device. At rate 0 the network stays as it is, and each step costs the same.
  at::Tensor step(const augment::Batch& batch) { return learner_.step(batch, batch.size, 0.0, nullptr); }

  // From now on step_on_stream() takes batches from there.
  void open(std::unique_ptr<augment::BatchStream> stream) { stream_ = std::move(stream); }
  at::Tensor step_on_stream() { return step(*stream_->next()); }
  double seconds_waited() const { return stream_->seconds_waited(); }

 private:
  training::Learner learner_;
  std::unique_ptr<augment::BatchStream> stream_;
};

}  // namespace deda::figures
