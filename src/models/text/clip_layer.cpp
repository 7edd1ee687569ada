#include "models/text/clip_layer.h"

namespace deda::models {
namespace {

constexpr double quick_gelu_slope = 1.702;

at::Tensor quick_gelu(const at::Tensor& x) {
  // In place where nothing is kept for a backward pass: the same numbers, and half of the memory traffic.
  if (!at::GradMode::is_enabled()) return x.mul(quick_gelu_slope).sigmoid_().mul_(x);
  return x * at::sigmoid(quick_gelu_slope * x);
}

}  // namespace

class ClipLayer::Attention : public torch::nn::Module {
 public:
  explicit Attention(const ClipLayerOptions& options) : heads_{options.heads}, causal_{options.causal} {
    const auto width = options.width;
    k_ = register_module("k_proj", std::make_shared<Linear>(width, width));
    v_ = register_module("v_proj", std::make_shared<Linear>(width, width));
    q_ = register_module("q_proj", std::make_shared<Linear>(width, width));
    out_ = register_module("out_proj", std::make_shared<Linear>(width, width));
  }
  // `asking` [B, M, width] looks at `x` [B, N, width].
  at::Tensor forward(const at::Tensor& asking, const at::Tensor& x) const {
    return out_->forward(attend(q_->forward(asking), k_->forward(x), v_->forward(x), heads_, causal_));
  }

 private:
  std::int64_t heads_;
  bool causal_;
  std::shared_ptr<Linear> q_, k_, v_, out_;
};

class ClipLayer::Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const ClipLayerOptions& options) : quick_gelu_{options.quick_gelu} {
    fc1_ = register_module("fc1", std::make_shared<Linear>(options.width, options.inner));
    fc2_ = register_module("fc2", std::make_shared<Linear>(options.inner, options.width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const auto h = fc1_->forward(x);
    return fc2_->forward(quick_gelu_ ? quick_gelu(h) : at::gelu(h));
  }

 private:
  bool quick_gelu_;
  std::shared_ptr<Linear> fc1_, fc2_;
};

ClipLayer::ClipLayer(const ClipLayerOptions& options) {
  attention_ = register_module("self_attn", std::make_shared<Attention>(options));
  norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(options.width, options.norm_epsilon));
  mlp_ = register_module("mlp", std::make_shared<Mlp>(options));
  norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(options.width, options.norm_epsilon));
}

ClipLayer::~ClipLayer() = default;

at::Tensor ClipLayer::forward(const at::Tensor& x) const {
  const auto normed = norm1_->forward(x);
  const auto h = x + attention_->forward(normed, normed);
  return h + mlp_->forward(norm2_->forward(h));
}

at::Tensor ClipLayer::forward_first(const at::Tensor& x) const {
  const auto normed = norm1_->forward(x);
  const auto h = x.narrow(1, 0, 1) + attention_->forward(normed.narrow(1, 0, 1), normed);
  return h + mlp_->forward(norm2_->forward(h));
}

}  // namespace deda::models
