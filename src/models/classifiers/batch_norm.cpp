#include "models/classifiers/batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>

#include "core/error.h"

namespace deda::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t channel_dimension = 1;

// Per channel, to go with [B, C, H, W].
at::Tensor over_pictures(const at::Tensor& per_channel, const at::Tensor& like) {
  return per_channel.to(like.scalar_type()).view({1, -1, 1, 1});
}

// Tensors that are updated besides; undefined: none.
struct RunningStatistics {
  at::Tensor mean, variance;
};

class GlobalBatchNorm : public torch::autograd::Function<GlobalBatchNorm> {
 public:
  // `x` [B, C, H, W] may be of half precision, the rest is not.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, RunningStatistics running, double momentum,
                            double epsilon, const c10::intrusive_ptr<GlobalBatch>& batch) {
    // Number of values, mean and mean of squares times that number: what adds up. In float64 the difference
    // that becomes the variance loses nothing.
    const auto channels = x.size(channel_dimension);
    auto sums = at::zeros({1 + 2 * channels}, x.options().dtype(at::kDouble));
    if (batch->takes_part) {
      const auto own_count = static_cast<double>(x.numel() / channels);
      auto [mean, variance] =
          at::batch_norm_update_stats(x.is_cpu() ? x.to(weight.scalar_type()) : x, {}, {}, 0.0);
      mean = mean.to(at::kDouble);
      sums[0].fill_(own_count);
      sums.slice(0, 1, 1 + channels).add_(mean, own_count);
      sums.slice(0, 1 + channels).add_(variance.to(at::kDouble).addcmul_(mean, mean), own_count);
    }
    batch->add_up(sums);
    // On the device: nothing in here waits for it.
    const auto count = sums[0];
    const auto mean = sums.slice(0, 1, 1 + channels) / count;
    const auto variance = (sums.slice(0, 1 + channels) / count).addcmul_(mean, mean, -1.0).clamp_min_(0.0);
    if (running.mean.defined()) {
      running.mean.mul_(1.0 - momentum).add_(mean.to(running.mean.scalar_type()), momentum);
      running.variance.mul_(1.0 - momentum)
          .add_((variance * (count / (count - 1.0))).to(running.variance.scalar_type()), momentum);
    }

    const auto mean_of_type = mean.to(weight.scalar_type()),
               variance_of_type = variance.to(weight.scalar_type());
    context->save_for_backward({x, weight, mean_of_type, variance_of_type, count});
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["takes_part"] = batch->takes_part;
    context->saved_data["batch"] = c10::IValue::make_capsule(batch);
    constexpr bool uses_own_statistics = false;
    return std::get<0>(at::native_batch_norm(x, weight, bias, mean_of_type, variance_of_type,
                                             uses_own_statistics, momentum, epsilon));
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto &weight = saved[1], &mean = saved[2], &variance = saved[3], &count = saved[4];
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const auto batch =
        c10::static_intrusive_pointer_cast<GlobalBatch>(context->saved_data["batch"].toCapsule());
    auto sums = at::zeros({2, x.size(channel_dimension)}, x.options().dtype(at::kDouble));
    at::Tensor input_gradient, weight_gradient, bias_gradient;
    const bool takes_part = context->saved_data["takes_part"].toBool();
    const auto wide = x.to(weight.scalar_type());
    if (takes_part) {
      // As if the statistics were constants: what is missing is added below.
      constexpr bool uses_own_statistics = false;
      std::tie(input_gradient, weight_gradient, bias_gradient) =
          at::native_batch_norm_backward(output_gradients[0].to(weight.scalar_type()), wide, weight, mean,
                                         variance, {}, {}, uses_own_statistics, epsilon, {true, true, true});
      sums[0].add_(bias_gradient);
      sums[1].add_(weight_gradient);
    }
    batch->add_up(sums);
    if (takes_part) {
      // dx = weight / deviation * (dy - mean(dy) - normalised x * mean(dy * normalised x)), means over the
      // global batch.
      const auto inverse_deviation = variance.to(at::kDouble).add(epsilon).rsqrt();
      const auto scale = weight.to(at::kDouble) * inverse_deviation / count;
      const auto slope = scale * inverse_deviation * sums[1];
      input_gradient.addcmul_(wide, over_pictures(slope, wide), -1.0);
      input_gradient.add_(over_pictures(slope * mean.to(at::kDouble) - scale * sums[0], wide));
      input_gradient = input_gradient.to(x.scalar_type());
    } else {
      input_gradient = at::zeros_like(x);
      weight_gradient = at::zeros_like(weight);
      bias_gradient = at::zeros_like(weight);
    }
    const at::Tensor none;
    return {input_gradient, weight_gradient, bias_gradient, none, none, none, none};
  }
};

}  // namespace

at::Tensor BatchNorm2dImpl::forward(const at::Tensor& x) {
  if (keeps_running_statistics_ && is_training()) return again(x, weight, bias);
  if (!batch_ || !is_training()) return torch::nn::BatchNorm2dImpl::forward(x);
  {
    const at::NoGradGuard no_gradients;
    num_batches_tracked.add_(1);
  }
  return GlobalBatchNorm::apply(x, weight, bias, RunningStatistics{running_mean, running_var},
                                options.momentum().value(), options.eps(), batch_);
}

at::Tensor BatchNorm2dImpl::again(const at::Tensor& x, const at::Tensor& with_weight,
                                  const at::Tensor& with_bias) const {
  if (batch_)
    return GlobalBatchNorm::apply(x, with_weight, with_bias, RunningStatistics{}, 0.0, options.eps(), batch_);
  constexpr bool uses_own_statistics = true;
  return at::batch_norm(x, with_weight, with_bias, {}, {}, uses_own_statistics, /*momentum=*/0.0,
                        options.eps(), at::globalContext().userEnabledCuDNN());
}

void use_global_batch_norm(torch::nn::Module& network, const c10::intrusive_ptr<GlobalBatch>& batch) {
  std::string others;
  for (const auto& entry : network.named_modules(std::string{}, /*include_self=*/false)) {
    if (auto* ours = entry.value()->as<BatchNorm2d>())
      ours->use_global_batch(batch);
    else if (entry.value()->as<torch::nn::BatchNorm2d>())
      others += (others.empty() ? "" : ", ") + entry.key();
  }
  if (!others.empty())
    throw ModelError("batch norm over all ranks does not know the layers " + others, {},
                     "Build the network with models::BatchNorm2d, or set train.batch_norm = \"local\".");
}

namespace {

void keep_running_statistics(torch::nn::Module& network, bool keep) {
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (auto* ours = module->as<BatchNorm2d>()) ours->keep_running_statistics(keep);
  }
}

}  // namespace

RunningStatisticsKept::RunningStatisticsKept(torch::nn::Module& network) : network_{network} {
  keep_running_statistics(network_, true);
}
RunningStatisticsKept::~RunningStatisticsKept() {
  keep_running_statistics(network_, false);
}

}  // namespace deda::models
