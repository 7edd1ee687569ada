// A training step of a classifier without anything around it: pictures and labels lie on the device already.
// What the learner's steps are held against.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "models/classifiers/classifier.h"
#include "training/config.h"
#include "training/sgd.h"

namespace deda::figures {

class NetworkAlone {
 public:
  // Network, memory order and optimizer as the learner has them; pictures and labels are made up.
  NetworkAlone(const training::TrainConfig& config, std::int64_t classes, std::int64_t batch,
               std::int64_t side, at::Device device);
  void step();
  double operations_per_step();  // by counting a forward pass
  bool finite() const;           // of the last step's loss; waits for the device

 private:
  at::Tensor forward();

  training::TrainConfig config_;
  at::Device device_;
  std::shared_ptr<models::Classifier> network_;
  std::unique_ptr<training::Sgd> optimizer_;
  at::Tensor pictures_, labels_, loss_;
};

}  // namespace deda::figures
