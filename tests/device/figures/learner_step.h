// The one place that knows how a learner is made and how it gets its batches.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <utility>

#include "augment/batch_stream.h"
#include "device/figures/workbench.h"
#include "training/device_feed.h"
#include "training/learner.h"

namespace deda::figures {

class LearnerSteps {
 public:
  // `side`: of the pictures, in pixels.
  LearnerSteps(const comm::Communicator& ranks, const training::TrainConfig& config, std::int64_t classes,
               std::int64_t side, const Workbench& bench)
      : place_{bench.place()}, learner_{ranks, config, classes, /*seed=*/1, place_, side} {}

  // The loss's sum on the device. At rate 0 the network stays as it is, and each step costs the same.
  at::Tensor step(const training::DeviceBatch& batch) {
    return learner_.step(batch, batch.size, 0.0, nullptr);
  }

  // From now on step_on_stream() takes batches from there, each on its way while the step before computes.
  void open(std::unique_ptr<augment::BatchStream> stream) {
    feed_ = std::make_unique<training::DeviceFeed>(std::move(stream), place_.device);
  }
  at::Tensor step_on_stream() {
    auto loss = step(*feed_->next());
    feed_->prefetch();
    return loss;
  }
  double seconds_waited() const { return feed_->seconds_starved(); }

 private:
  device::Place place_;
  training::Learner learner_;
  std::unique_ptr<training::DeviceFeed> feed_;
};

}  // namespace deda::figures
