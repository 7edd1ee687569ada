#include "training/sgd.h"

#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "core/error.h"

namespace deda::training {
namespace {

constexpr double dampening = 0.0;
constexpr bool maximize = false, is_first_step = false;
constexpr std::nullopt_t no_scale = std::nullopt;  // GradientScaler has divided by it

}  // namespace

Sgd::Sgd(std::vector<at::Tensor> parameters, SgdOptions options)
    : parameters_{std::move(parameters)}, options_{options} {
  const at::NoGradGuard no_gradients;
  for (const auto& parameter : parameters_) momentum_.push_back(at::zeros_like(parameter.detach()));
}

std::vector<at::Tensor> Sgd::gradients_in_order() const {
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const auto& parameter : parameters_) {
    auto gradient = parameter.grad();
    if (!gradient.defined())
      throw ModelError("a parameter of shape " + c10::str(parameter.sizes()) +
                       " took no part in the loss: it has no gradient");
    // The fused kernel walks raw memory: gradient and parameter must lie in the same order.
    if (gradient.strides() != parameter.strides()) {
      auto ordered = at::empty_like(parameter);
      ordered.copy_(gradient);
      gradient = std::move(ordered);
    }
    gradients.push_back(std::move(gradient));
  }
  return gradients;
}

void Sgd::step(double learning_rate, const std::optional<at::Tensor>& overflow) {
  const at::NoGradGuard no_gradients;
  const auto gradients = gradients_in_order();
  const bool on_cpu = parameters_.empty() || parameters_.front().is_cpu();
  const double rate = on_cpu ? learning_rate : static_cast<double>(static_cast<float>(learning_rate));
  at::_fused_sgd_(parameters_, gradients, momentum_list(), options_.weight_decay, options_.momentum, rate,
                  dampening, options_.nesterov, maximize, is_first_step, no_scale, overflow);
}

void Sgd::step(const at::Tensor& learning_rate, const std::optional<at::Tensor>& overflow) {
  const at::NoGradGuard no_gradients;
  const auto gradients = gradients_in_order();
  at::_fused_sgd_(parameters_, gradients, momentum_list(), options_.weight_decay, options_.momentum,
                  learning_rate, dampening, options_.nesterov, maximize, is_first_step, no_scale, overflow);
}

}  // namespace deda::training
