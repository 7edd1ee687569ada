#include "models/layers.h"

#include <atomic>
#include <cmath>
#include <optional>

namespace deda::models {

at::TensorOptions parameter_options() {
  return at::TensorOptions().dtype(at::get_default_dtype());
}

namespace {

at::Tensor split_heads(const at::Tensor& x, std::int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}
at::Tensor merge_heads(const at::Tensor& x) {
  return x.transpose(1, 2).flatten(2);
}

std::atomic<bool> heads_are_padded{false};
constexpr std::int64_t padded_width = 64;

at::Tensor attend_padded(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         bool causal) {
  const auto width = query.size(3), missing = padded_width - width;
  const auto padded = [&](const at::Tensor& x) { return at::constant_pad_nd(x, {0, missing}, 0); };
  return at::scaled_dot_product_attention(padded(query), padded(key), padded(value), {}, 0.0, causal,
                                          1.0 / std::sqrt(static_cast<double>(width)))
      .slice(3, 0, width);
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) {
  weight = register_parameter("weight", at::empty({out, in}, parameter_options()));
  if (with_bias) bias = register_parameter("bias", at::empty({out}, parameter_options()));
}

at::Tensor Linear::forward(const at::Tensor& x) const {
  return at::linear(x, weight, bias);
}

Convolution::Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding)
    : stride_{stride}, padding_{padding} {
  weight = register_parameter("weight", at::empty({out, in, kernel, kernel}, parameter_options()));
  bias = register_parameter("bias", at::empty({out}, parameter_options()));
}

at::Tensor Convolution::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, stride_, padding_);
}

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double epsilon)
    : groups_{groups}, epsilon_{epsilon} {
  weight = register_parameter("weight", at::empty({channels}, parameter_options()));
  bias = register_parameter("bias", at::empty({channels}, parameter_options()));
}

at::Tensor GroupNorm::forward(const at::Tensor& x) const {
  return at::group_norm(x, groups_, weight, bias, epsilon_);
}

LayerNorm::LayerNorm(std::int64_t width, double epsilon) : epsilon_{epsilon} {
  weight = register_parameter("weight", at::empty({width}, parameter_options()));
  bias = register_parameter("bias", at::empty({width}, parameter_options()));
}

at::Tensor LayerNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {weight.size(0)}, weight, bias, epsilon_);
}

Embedding::Embedding(std::int64_t rows, std::int64_t width) {
  weight = register_parameter("weight", at::empty({rows, width}, parameter_options()));
}

at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, std::int64_t heads,
                  bool causal) {
  const auto q = split_heads(query, heads), k = split_heads(key, heads), v = split_heads(value, heads);
  const bool padded =
      heads_are_padded && !q.is_cpu() && q.scalar_type() != at::kFloat && q.size(3) < padded_width;
  return merge_heads(padded ? attend_padded(q, k, v, causal)
                            : at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal));
}

void pad_attention_heads(bool on) {
  heads_are_padded = on;
}

at::Tensor attend_masked(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         std::int64_t heads, const at::Tensor& mask) {
  const auto given = mask.defined() ? std::optional<at::Tensor>{mask} : std::nullopt;
  return merge_heads(at::scaled_dot_product_attention(split_heads(query, heads), split_heads(key, heads),
                                                      split_heads(value, heads), given));
}

std::int64_t parameter_count(const torch::nn::Module& network) {
  std::int64_t count = 0;
  for (const auto& parameter : network.parameters()) count += parameter.numel();
  return count;
}

void freeze(torch::nn::Module& network) {
  for (auto& parameter : network.parameters()) parameter.set_requires_grad(false);
}

void use_channels_last(torch::nn::Module& network) {
  torch::NoGradGuard no_gradients;
  for (auto& parameter : network.parameters()) {
    if (parameter.dim() != 4) continue;
    const auto channels = parameter.size(1), height = parameter.size(2), width = parameter.size(3);
    auto ordered = parameter.contiguous(at::MemoryFormat::ChannelsLast);
    // The bytes of a 1x1 kernel are the same in both orders and contiguous() leaves its strides; convolutions
    // return its gradient with channels-last ones, which the views of the gradient buckets then have to have
    // too.
    parameter.set_data(
        ordered.as_strided(ordered.sizes(), {height * width * channels, 1, width * channels, channels}));
  }
}

}  // namespace deda::models
