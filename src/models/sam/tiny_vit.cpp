#include "models/sam/tiny_vit.h"

#include <cmath>

namespace deda::models {
namespace {

constexpr double batch_norm_epsilon = 1e-5;
constexpr double norm_epsilon = 1e-5;

struct BatchNorm : torch::nn::Module {
  explicit BatchNorm(std::int64_t channels) {
    weight = register_parameter("weight", at::empty({channels}, parameter_options()));
    bias = register_parameter("bias", at::empty({channels}, parameter_options()));
    running_mean = register_buffer("running_mean", at::empty({channels}, parameter_options()));
    running_var = register_buffer("running_var", at::empty({channels}, parameter_options()));
  }
  at::Tensor weight, bias, running_mean, running_var;
};

// Convolution `c` without bias and batch norm `bn`. After fold() the kernel is scaled, bn.bias is the bias of
// the convolution, and what is left of the norm is the identity.
class NormedConvolution : public torch::nn::Module {
 public:
  NormedConvolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
                    std::int64_t groups = 1) {
    c_ = register_module("c", std::make_shared<BareConvolution>(in, out, kernel, stride, groups));
    bn_ = register_module("bn", std::make_shared<BatchNorm>(out));
  }
  at::Tensor forward(const at::Tensor& x) const { return c_->forward(x, bn_->bias); }
  void fold() {
    const auto scale = bn_->weight / (bn_->running_var + batch_norm_epsilon).sqrt();
    bn_->bias.sub_(bn_->running_mean * scale);
    c_->weight.mul_(scale.view({-1, 1, 1, 1}));
    bn_->weight.fill_(1);
    bn_->running_mean.zero_();
    bn_->running_var.fill_(1 - batch_norm_epsilon);
  }

 private:
  std::shared_ptr<BareConvolution> c_;
  std::shared_ptr<BatchNorm> bn_;
};

// 1x1, depthwise 3x3, 1x1: what blocks of stage 0 and merges are made of.
class Bottleneck : public torch::nn::Module {
 public:
  Bottleneck(std::int64_t in, std::int64_t inner, std::int64_t out, std::int64_t stride) {
    conv1_ = register_module("conv1", std::make_shared<NormedConvolution>(in, inner, 1));
    conv2_ = register_module("conv2", std::make_shared<NormedConvolution>(inner, inner, 3, stride, inner));
    conv3_ = register_module("conv3", std::make_shared<NormedConvolution>(inner, out, 1));
  }
  at::Tensor forward(const at::Tensor& x) const {
    return conv3_->forward(at::gelu(conv2_->forward(at::gelu(conv1_->forward(x)))));
  }

 private:
  std::shared_ptr<NormedConvolution> conv1_, conv2_, conv3_;
};

// Attention inside of windows with a learned number per head and absolute offset; its norm is inside, so that
// the zeros that fill up windows become the norm's bias. Queries, keys and values lie head by head.
class WindowAttention : public torch::nn::Module {
 public:
  WindowAttention(std::int64_t width, std::int64_t heads, std::int64_t side) : heads_{heads}, side_{side} {
    norm_ = register_module("norm", std::make_shared<LayerNorm>(width, norm_epsilon));
    qkv_ = register_module("qkv", std::make_shared<Linear>(width, 3 * width));
    proj_ = register_module("proj", std::make_shared<Linear>(width, width));
    biases_ = register_parameter("attention_biases", at::empty({heads, side * side}, parameter_options()));
  }
  at::Tensor forward(const at::Tensor& windows) const {  // [B, side, side, C]
    const auto count = windows.size(0), places = side_ * side_;
    const auto qkv = qkv_->forward(norm_->forward(windows))
                         .view({count, places, heads_, 3, -1})
                         .permute({3, 0, 2, 1, 4});  // [3, B, heads, N, d]
    const auto bias = biases_.index_select(1, offsets()).view({1, heads_, places, places});
    const auto out = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2],
                                                      bias.expand({count, heads_, places, places}));
    return proj_->forward(out.transpose(1, 2).reshape(windows.sizes()));
  }

 private:
  // [N * N]: |y - y'| * side + |x - x'|.
  at::Tensor offsets() const {
    const auto place = at::arange(side_ * side_, biases_.options().dtype(at::kLong));
    const auto y = place.div(side_, "floor"), x = place.remainder(side_);
    return ((y.unsqueeze(1) - y.unsqueeze(0)).abs() * side_ + (x.unsqueeze(1) - x.unsqueeze(0)).abs())
        .flatten();
  }
  std::int64_t heads_, side_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> qkv_, proj_;
  at::Tensor biases_;
};

class NormalisedMlp : public torch::nn::Module {
 public:
  NormalisedMlp(std::int64_t width, std::int64_t inner) {
    norm_ = register_module("norm", std::make_shared<LayerNorm>(width, norm_epsilon));
    fc1_ = register_module("fc1", std::make_shared<Linear>(width, inner));
    fc2_ = register_module("fc2", std::make_shared<Linear>(inner, width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    return fc2_->forward(at::gelu(fc1_->forward(norm_->forward(x))));
  }

 private:
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> fc1_, fc2_;
};

class Block : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& x) const = 0;  // [B, C, h, w]
};

class ConvolutionBlock : public Block {
 public:
  ConvolutionBlock(std::int64_t width, std::int64_t inner) {
    conv1_ = register_module("conv1", std::make_shared<NormedConvolution>(width, inner, 1));
    conv2_ = register_module("conv2", std::make_shared<NormedConvolution>(inner, inner, 3, 1, inner));
    conv3_ = register_module("conv3", std::make_shared<NormedConvolution>(inner, width, 1));
  }
  at::Tensor forward(const at::Tensor& x) const override {
    return at::gelu(x + conv3_->forward(at::gelu(conv2_->forward(at::gelu(conv1_->forward(x))))));
  }

 private:
  std::shared_ptr<NormedConvolution> conv1_, conv2_, conv3_;
};

class AttentionBlock : public Block {
 public:
  AttentionBlock(std::int64_t width, std::int64_t heads, std::int64_t side, std::int64_t mlp_width)
      : side_{side} {
    attention_ = register_module("attn", std::make_shared<WindowAttention>(width, heads, side));
    local_convolution_ =
        register_module("local_conv", std::make_shared<NormedConvolution>(width, width, 3, 1, width));
    mlp_ = register_module("mlp", std::make_shared<NormalisedMlp>(width, mlp_width));
  }
  at::Tensor forward(const at::Tensor& x) const override {
    const auto height = x.size(2), width = x.size(3);
    const auto places = x.permute({0, 2, 3, 1});
    const auto attended = from_windows(attention_->forward(to_windows(places, side_)), height, width);
    const auto mixed = local_convolution_->forward((places + attended).permute({0, 3, 1, 2}));
    return mixed + mlp_->forward(mixed.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
  }

 private:
  std::int64_t side_;
  std::shared_ptr<WindowAttention> attention_;
  std::shared_ptr<NormedConvolution> local_convolution_;
  std::shared_ptr<NormalisedMlp> mlp_;
};

}  // namespace

// patch_embed.seq: two convolutions that halve the size, GELU between.
class TinyVit::Stem : public torch::nn::Module {
 public:
  explicit Stem(const TinyVitConfig& config) {
    auto seq = std::make_shared<torch::nn::Module>("seq");
    first_ = seq->register_module("0", std::make_shared<NormedConvolution>(3, config.stem_width, 3, 2));
    second_ = seq->register_module(
        "2", std::make_shared<NormedConvolution>(config.stem_width, config.dims.front(), 3, 2));
    register_module("seq", seq);
  }
  at::Tensor forward(const at::Tensor& x) const { return second_->forward(at::gelu(first_->forward(x))); }

 private:
  std::shared_ptr<NormedConvolution> first_, second_;
};

class TinyVit::Stage : public torch::nn::Module {
 public:
  Stage(const TinyVitConfig& config, std::size_t i) {
    const auto last_merge = config.dims.size() - 2;
    blocks_ = register_module("blocks", std::make_shared<List<Block>>());
    for (std::int64_t block = 0; block < config.depths[i]; ++block) {
      if (i == 0)
        blocks_->add_made(std::make_shared<ConvolutionBlock>(config.dims[0], config.expanded_width));
      else
        blocks_->add_made(std::make_shared<AttentionBlock>(config.dims[i], config.heads[i], config.windows[i],
                                                           config.mlp_dims[i]));
    }
    if (i > last_merge) return;
    const auto next = config.dims[i + 1];
    merge_ = register_module(
        "downsample", std::make_shared<Bottleneck>(config.dims[i], next, next, i == last_merge ? 1 : 2));
  }
  at::Tensor forward(at::Tensor x) const {
    for (const auto& block : *blocks_) x = block->forward(x);
    return merge_ ? merge_->forward(x) : x;
  }

 private:
  std::shared_ptr<List<Block>> blocks_;
  std::shared_ptr<Bottleneck> merge_;
};

TinyVit::TinyVit(const TinyVitConfig& config) {
  patch_embed_ = register_module("patch_embed", std::make_shared<Stem>(config));
  layers_ = register_module("layers", std::make_shared<List<Stage>>());
  for (std::size_t i = 0; i < config.dims.size(); ++i) layers_->add(config, i);
  neck_ = register_module("neck", std::make_shared<SamNeck>(config.dims.back(), config.output_channels));
}

TinyVit::~TinyVit() = default;

at::Tensor TinyVit::forward(const at::Tensor& pixel_values) const {
  auto x = patch_embed_->forward(pixel_values);
  for (const auto& stage : *layers_) x = stage->forward(x);
  return neck_->forward(x);
}

void TinyVit::fold() {
  torch::NoGradGuard no_gradients;
  for (const auto& module : modules()) {
    if (auto* convolution = dynamic_cast<NormedConvolution*>(module.get())) convolution->fold();
  }
}

}  // namespace deda::models
