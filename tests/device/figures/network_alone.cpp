#include "device/figures/network_alone.h"

#include <ATen/ATen.h>

#include "device/figures/operation_count.h"
#include "models/classifiers/initialise.h"
#include "models/layers.h"
#include "models/registry.h"
#include "training/device.h"
#include "training/loss.h"

namespace deda::figures {

NetworkAlone::NetworkAlone(const training::TrainConfig& config, std::int64_t classes, std::int64_t batch,
                           std::int64_t side, at::Device device)
    : config_{config},
      device_{device},
      network_{models::make_classifier(
          config.network,
          models::ClassifierOptions{.classes = classes,
                                    .side = side,
                                    .recompute_concatenations = config.recompute_concatenations})} {
  models::initialise(*network_, 1);
  network_->to(device);
  const bool channels_last = training::use_channels_last(config, device);
  if (channels_last) models::use_channels_last(*network_);
  network_->train();
  optimizer_ = std::make_unique<training::Sgd>(
      network_->parameters(),
      training::SgdOptions{
          .momentum = config.momentum, .weight_decay = config.weight_decay, .nesterov = config.nesterov});
  pictures_ = at::randn({batch, 3, side, side}, at::TensorOptions(at::kFloat).device(device));
  if (channels_last) pictures_ = pictures_.contiguous(at::MemoryFormat::ChannelsLast);
  labels_ = at::softmax(at::randn({batch, classes}, at::TensorOptions(at::kFloat).device(device)), 1);
}

at::Tensor NetworkAlone::forward() {
  const training::AutocastScope autocast(config_.precision, device_.type());
  return network_->forward(pictures_);
}

void NetworkAlone::step() {
  for (const auto& parameter : network_->parameters()) parameter.mutable_grad().reset();
  const auto loss = training::soft_cross_entropy(forward(), labels_);
  loss.backward();
  // The rate is 0, so that the weights stay and each step costs the same.
  optimizer_->step(0.0);
  loss_ = loss.detach();
}

double NetworkAlone::operations_per_step() {
  const at::NoGradGuard no_gradients;
  return step_over_forward * operations_in([&] { forward(); });
}

bool NetworkAlone::finite() const {
  return at::isfinite(loss_).item<bool>();
}

}  // namespace deda::figures
