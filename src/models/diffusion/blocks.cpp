#include "models/diffusion/blocks.h"

namespace deda::models {

ResnetBlock::ResnetBlock(std::int64_t in, std::int64_t out, std::int64_t time_width, std::int64_t groups,
                         double epsilon) {
  norm1_ = register_module("norm1", std::make_shared<GroupNorm>(groups, in, epsilon));
  conv1_ = register_module("conv1", std::make_shared<Convolution>(in, out, 3, 1, 1));
  if (time_width > 0)
    time_projection_ = register_module("time_emb_proj", std::make_shared<Linear>(time_width, out));
  norm2_ = register_module("norm2", std::make_shared<GroupNorm>(groups, out, epsilon));
  conv2_ = register_module("conv2", std::make_shared<Convolution>(out, out, 3, 1, 1));
  if (in != out) shortcut_ = register_module("conv_shortcut", std::make_shared<Convolution>(in, out, 1));
}

at::Tensor ResnetBlock::forward(const at::Tensor& x, const at::Tensor& time) const {
  auto y = conv1_->forward(at::silu(norm1_->forward(x)));
  if (time_projection_) y = y + time_projection_->forward(time).unsqueeze(-1).unsqueeze(-1);
  y = conv2_->forward(at::silu(norm2_->forward(y)));
  return (shortcut_ ? shortcut_->forward(x) : x) + y;
}

Downsample::Downsample(std::int64_t channels, DownPadding padding) : padding_{padding} {
  const std::int64_t around = padding == DownPadding::around ? 1 : 0;
  conv_ = register_module("conv", std::make_shared<Convolution>(channels, channels, 3, 2, around));
}

at::Tensor Downsample::forward(const at::Tensor& x) const {
  return conv_->forward(padding_ == DownPadding::around ? x : at::constant_pad_nd(x, {0, 1, 0, 1}, 0));
}

Upsample::Upsample(std::int64_t channels) {
  conv_ = register_module("conv", std::make_shared<Convolution>(channels, channels, 3, 1, 1));
}

at::Tensor Upsample::forward(const at::Tensor& x, std::int64_t height, std::int64_t width) const {
  const std::vector<std::int64_t> size{height > 0 ? height : 2 * x.size(2),
                                       width > 0 ? width : 2 * x.size(3)};
  return conv_->forward(at::upsample_nearest2d(x, size));
}

AttentionProjections::AttentionProjections(std::int64_t width, std::int64_t context_width, bool biased_qkv) {
  to_q = register_module("to_q", std::make_shared<Linear>(width, width, biased_qkv));
  to_k = register_module("to_k", std::make_shared<Linear>(context_width, width, biased_qkv));
  to_v = register_module("to_v", std::make_shared<Linear>(context_width, width, biased_qkv));
  to_out = register_module("to_out", std::make_shared<List<Linear>>());
  to_out->add(width, width);
}

at::Tensor LowRankBranch::added_to(const at::Tensor& product, const at::Tensor& x) const {
  if (!up.defined()) return product;
  const auto change = at::linear(at::linear(x, down.to(x.scalar_type())), up.to(x.scalar_type()));
  return product + (factor == 1 ? change : change * factor);
}

at::Tensor AttentionProjections::query(const at::Tensor& x) const {
  return beside_q.added_to(to_q->forward(x), x);
}
at::Tensor AttentionProjections::key(const at::Tensor& x) const {
  return beside_k.added_to(to_k->forward(x), x);
}
at::Tensor AttentionProjections::value(const at::Tensor& x) const {
  return beside_v.added_to(to_v->forward(x), x);
}
at::Tensor AttentionProjections::out(const at::Tensor& x) const {
  return beside_out.added_to((*to_out)[0].forward(x), x);
}

SpatialAttention::SpatialAttention(std::int64_t channels, std::int64_t heads, std::int64_t groups,
                                   double epsilon)
    : heads_{heads} {
  norm_ = register_module("group_norm", std::make_shared<GroupNorm>(groups, channels, epsilon));
  to_q_ = register_module("to_q", std::make_shared<Linear>(channels, channels));
  to_k_ = register_module("to_k", std::make_shared<Linear>(channels, channels));
  to_v_ = register_module("to_v", std::make_shared<Linear>(channels, channels));
  to_out_ = register_module("to_out", std::make_shared<List<Linear>>());
  to_out_->add(channels, channels);
}

at::Tensor SpatialAttention::forward(const at::Tensor& x) const {
  const auto tokens = norm_->forward(x).flatten(2).transpose(1, 2);  // [B, HW, C]
  const auto seen = attend(to_q_->forward(tokens), to_k_->forward(tokens), to_v_->forward(tokens), heads_);
  return x + (*to_out_)[0].forward(seen).transpose(1, 2).reshape(x.sizes());
}

}  // namespace deda::models
