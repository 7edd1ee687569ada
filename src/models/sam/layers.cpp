#include "models/sam/layers.h"

namespace deda::models {
namespace {

std::int64_t rounded_up(std::int64_t length, std::int64_t side) {
  return (length + side - 1) / side * side;
}

}  // namespace

ChannelNorm::ChannelNorm(std::int64_t channels, double epsilon) : epsilon_{epsilon} {
  weight = register_parameter("weight", at::empty({channels}, parameter_options()));
  bias = register_parameter("bias", at::empty({channels}, parameter_options()));
}

at::Tensor ChannelNorm::forward(const at::Tensor& x) const {
  return at::layer_norm(x.permute({0, 2, 3, 1}), {weight.size(0)}, weight, bias, epsilon_)
      .permute({0, 3, 1, 2});
}

BareConvolution::BareConvolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                                 std::int64_t groups)
    : stride_{stride}, groups_{groups} {
  weight = register_parameter("weight", at::empty({out, in / groups, kernel, kernel}, parameter_options()));
}

at::Tensor BareConvolution::forward(const at::Tensor& x, const at::Tensor& bias) const {
  const auto padding = weight.size(2) / 2;
  return at::conv2d(x, weight, bias, stride_, padding, 1, groups_);
}

DoublingConvolution::DoublingConvolution(std::int64_t in, std::int64_t out) {
  weight = register_parameter("weight", at::empty({in, out, 2, 2}, parameter_options()));
  bias = register_parameter("bias", at::empty({out}, parameter_options()));
}

at::Tensor DoublingConvolution::forward(const at::Tensor& x) const {
  return at::conv_transpose2d(x, weight, bias, 2);
}

SamNeck::SamNeck(std::int64_t in, std::int64_t out) {
  conv1_ = register_module("conv1", std::make_shared<BareConvolution>(in, out, 1));
  layer_norm1_ = register_module("layer_norm1", std::make_shared<ChannelNorm>(out));
  conv2_ = register_module("conv2", std::make_shared<BareConvolution>(out, out, 3));
  layer_norm2_ = register_module("layer_norm2", std::make_shared<ChannelNorm>(out));
}

at::Tensor SamNeck::forward(const at::Tensor& x) const {
  return layer_norm2_->forward(conv2_->forward(layer_norm1_->forward(conv1_->forward(x)))).contiguous();
}

at::Tensor to_windows(const at::Tensor& x, std::int64_t side) {
  const auto batch = x.size(0), height = rounded_up(x.size(1), side), width = rounded_up(x.size(2), side);
  const auto channels = x.size(3);
  const auto padded = at::constant_pad_nd(x, {0, 0, 0, width - x.size(2), 0, height - x.size(1)});
  return padded.reshape({batch, height / side, side, width / side, side, channels})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, side, side, channels});
}

at::Tensor from_windows(const at::Tensor& windows, std::int64_t height, std::int64_t width) {
  const auto side = windows.size(1), channels = windows.size(3);
  const auto rows = rounded_up(height, side) / side, columns = rounded_up(width, side) / side;
  return windows.reshape({-1, rows, columns, side, side, channels})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, rows * side, columns * side, channels})
      .slice(1, 0, height)
      .slice(2, 0, width);
}

}  // namespace deda::models
