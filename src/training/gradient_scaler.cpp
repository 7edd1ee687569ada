#include "training/gradient_scaler.h"

#include <ATen/ATen.h>

#include <utility>

namespace deda::training {
namespace {

constexpr double growth = 2.0, backoff = 0.5;  // PyTorch's defaults: powers of two, which round nothing

}  // namespace

GradientScaler::GradientScaler(LossScaling options, at::Device device, std::function<void(at::Tensor&)> agree)
    : options_{options},
      agree_{std::move(agree)},
      scale_{at::full({}, options.initial, at::TensorOptions(at::kFloat).device(device))},
      overflow_{at::zeros({}, scale_.options())},
      steps_without_overflow_{at::zeros({}, scale_.options().dtype(at::kInt))},
      skipped_{at::zeros({}, scale_.options().dtype(at::kLong))} {}

const at::Tensor& GradientScaler::unscale(const std::vector<at::Tensor>& parameters) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const auto& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());  // Sgd names one that has none
  }
  overflow_.zero_();
  const auto inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, overflow_, inverse);
  if (agree_) agree_(overflow_);
  return overflow_;
}

void GradientScaler::update() {
  const at::NoGradGuard no_gradients;
  skipped_.add_(overflow_.to(at::kLong));
  at::_amp_update_scale_(scale_, steps_without_overflow_, overflow_, growth, backoff,
                         options_.growth_interval);
}

LossScale GradientScaler::now() const {
  const auto both = at::stack({scale_.to(at::kDouble), skipped_.to(at::kDouble)}).to(at::kCPU);
  const auto* values = both.const_data_ptr<double>();
  return {values[0], static_cast<std::int64_t>(values[1])};
}

std::map<std::string, at::Tensor> GradientScaler::tensors() const {
  return {{"scale", scale_}, {"steps_without_overflow", steps_without_overflow_}, {"skipped", skipped_}};
}

}  // namespace deda::training
