#include "diffusion/inversion/adamw.h"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <cmath>

namespace deda::diffusion {

AdamW::AdamW(std::vector<at::Tensor> parameters, AdamWOptions options)
    : parameters_{std::move(parameters)}, options_{options} {
  for (const auto& parameter : parameters_)
    moments_.push_back({at::zeros_like(parameter), at::zeros_like(parameter)});
}

void AdamW::step(const std::vector<at::Tensor>& gradients, double learning_rate) {
  torch::NoGradGuard no_gradients;
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    auto parameter = parameters_[i].detach();
    auto& [first, second] = moments_[i];
    parameter.mul_(1 - learning_rate * options_.weight_decay);
    first.lerp_(gradients[i], 1 - options_.beta1);
    second.mul_(options_.beta2).addcmul_(gradients[i], gradients[i], 1 - options_.beta2);
    const auto denominator = (second.sqrt() / correction2).add_(options_.epsilon);
    parameter.addcdiv_(first, denominator, -learning_rate / correction1);
  }
}

void AdamW::restore(const std::vector<Moments>& moments, std::int64_t steps) {
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    moments_[i].first.copy_(moments[i].first);
    moments_[i].second.copy_(moments[i].second);
  }
  steps_ = steps;
}

}  // namespace deda::diffusion
