#include "models/classifiers/vision_transformer.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "models/classifiers/facts.h"
#include "models/layers.h"

namespace deda::models {
namespace {

constexpr double norm_epsilon = 1e-6;

// torch.nn.MultiheadAttention of queries, keys and values from one place: their three matrices are rows of
// one.
class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(std::int64_t width, std::int64_t heads) : heads_{heads} {
    weight_ = register_parameter("in_proj_weight", at::empty({3 * width, width}, parameter_options()));
    bias_ = register_parameter("in_proj_bias", at::empty({3 * width}, parameter_options()));
    out_ = register_module("out_proj", std::make_shared<Linear>(width, width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const auto parts = at::linear(x, weight_, bias_).chunk(3, -1);
    return out_->forward(attend(parts[0], parts[1], parts[2], heads_));
  }

 private:
  std::int64_t heads_;
  at::Tensor weight_, bias_;
  std::shared_ptr<Linear> out_;
};

// torchvision's MLPBlock: places 1, 2 and 4 of its sequence are GELU and dropout.
class PictureMlp : public torch::nn::Module {
 public:
  PictureMlp(std::int64_t width, std::int64_t inner) {
    first_ = register_module("0", std::make_shared<Linear>(width, inner));
    second_ = register_module("3", std::make_shared<Linear>(inner, width));
  }
  at::Tensor forward(const at::Tensor& x) const { return second_->forward(at::gelu(first_->forward(x))); }

 private:
  std::shared_ptr<Linear> first_, second_;
};

class EncoderLayer : public torch::nn::Module {
 public:
  explicit EncoderLayer(const VisionTransformerSize& size) {
    norm1_ = register_module("ln_1", std::make_shared<LayerNorm>(size.width, norm_epsilon));
    attention_ = register_module("self_attention", std::make_shared<SelfAttention>(size.width, size.heads));
    norm2_ = register_module("ln_2", std::make_shared<LayerNorm>(size.width, norm_epsilon));
    mlp_ = register_module("mlp", std::make_shared<PictureMlp>(size.width, size.mlp_width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const auto seen = x + attention_->forward(norm1_->forward(x));
    return seen + mlp_->forward(norm2_->forward(seen));
  }

 private:
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<PictureMlp> mlp_;
};

class EncoderLayers : public torch::nn::Module {
 public:
  explicit EncoderLayers(const VisionTransformerSize& size) {
    for (std::int64_t i = 0; i < size.layers; ++i)
      list_.push_back(
          register_module("encoder_layer_" + std::to_string(i), std::make_shared<EncoderLayer>(size)));
  }
  at::Tensor forward(at::Tensor x) const {
    for (const auto& layer : list_) x = layer->forward(x);
    return x;
  }

 private:
  std::vector<std::shared_ptr<EncoderLayer>> list_;
};

class Encoder : public torch::nn::Module {
 public:
  Encoder(const VisionTransformerSize& size, std::int64_t positions) {
    positions_ =
        register_parameter("pos_embedding", at::empty({1, positions, size.width}, parameter_options()));
    layers_ = register_module("layers", std::make_shared<EncoderLayers>(size));
    norm_ = register_module("ln", std::make_shared<LayerNorm>(size.width, norm_epsilon));
  }
  at::Tensor forward(const at::Tensor& x) const { return norm_->forward(layers_->forward(x + positions_)); }

 private:
  at::Tensor positions_;
  std::shared_ptr<EncoderLayers> layers_;
  std::shared_ptr<LayerNorm> norm_;
};

class Heads : public torch::nn::Module {
 public:
  Heads(std::int64_t width, std::int64_t classes) {
    head_ = register_module("head", std::make_shared<Linear>(width, classes));
  }
  at::Tensor forward(const at::Tensor& x) const { return head_->forward(x); }

 private:
  std::shared_ptr<Linear> head_;
};

class VisionTransformer final : public Classifier {
 public:
  VisionTransformer(const VisionTransformerSize& size, const ClassifierOptions& options)
      : size_{size}, side_{options.side}, classes_{options.classes} {
    const auto places = side_ / size.patch;
    class_token_ = register_parameter("class_token", at::empty({1, 1, size.width}, parameter_options()));
    patches_ =
        register_module("conv_proj", std::make_shared<Convolution>(3, size.width, size.patch, size.patch));
    encoder_ = register_module("encoder", std::make_shared<Encoder>(size, 1 + places * places));
    heads_ = register_module("heads", std::make_shared<Heads>(size.width, options.classes));
  }

  torch::Tensor forward(torch::Tensor x) override {
    if (x.size(2) != side_ || x.size(3) != side_) {
      throw ModelError("the network has positions for pictures of " + std::to_string(side_) + " x " +
                       std::to_string(side_) + " pixels and got " + std::to_string(x.size(2)) + " x " +
                       std::to_string(x.size(3)));
    }
    x = patches_->forward(x).flatten(2).transpose(1, 2);
    x = at::cat({class_token_.expand({x.size(0), -1, -1}), x}, 1);
    return heads_->forward(encoder_->forward(x).select(1, 0));
  }
  std::string head_name() const override { return "heads.head"; }
  std::int64_t classes() const override { return classes_; }
  std::int64_t small_side() const override { return side_; }

  // The attention's stacked matrix is one for Glorot's rule. torchvision cuts the normal numbers of conv_proj
  // off at +-2, which is 55 deviations away: none is.
  std::optional<InitialValues> initial_values(const std::string& name,
                                              const torch::Tensor& parameter) const override {
    constexpr double of_positions = 0.02, of_mlp_biases = 1e-6;
    const auto ends = [&](const std::string& tail) {
      return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
    };
    if (name == "class_token" || name == "conv_proj.bias" || name.rfind("heads.head.", 0) == 0)
      return constant_values(0);
    if (name == "conv_proj.weight")
      return normal_values(std::sqrt(1.0 / static_cast<double>(3 * size_.patch * size_.patch)));
    if (name == "encoder.pos_embedding") return normal_values(of_positions);
    if (ends(".self_attention.in_proj_weight")) return xavier_uniform(parameter);
    if (ends(".self_attention.out_proj.weight")) return plain_linear(size_.width);
    if (ends(".self_attention.in_proj_bias") || ends(".self_attention.out_proj.bias"))
      return constant_values(0);
    if (ends(".mlp.0.weight") || ends(".mlp.3.weight")) return xavier_uniform(parameter);
    if (ends(".mlp.0.bias") || ends(".mlp.3.bias")) return normal_values(of_mlp_biases);
    return norm_values(name);
  }

 private:
  VisionTransformerSize size_;
  std::int64_t side_, classes_;
  at::Tensor class_token_;
  std::shared_ptr<Convolution> patches_;  // pictures as [B, width, patches down, patches across]
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Heads> heads_;
};

}  // namespace

std::shared_ptr<Classifier> make_vit_b_16(const ClassifierOptions& options) {
  const auto& facts = facts_of_classifier("vit_b_16");
  auto filled = options;
  if (filled.side == 0) filled.side = facts.own_side;
  if (const auto problem = why_not_sides(facts, filled.side, filled.side); !problem.empty())
    throw ConfigError(problem);
  return make_vision_transformer({}, filled);
}

std::shared_ptr<Classifier> make_vision_transformer(const VisionTransformerSize& size,
                                                    const ClassifierOptions& options) {
  if (options.side <= 0 || options.side % size.patch != 0)
    throw ConfigError("a side of " + std::to_string(options.side) +
                      " pixels is no multiple of the patch of " + std::to_string(size.patch));
  return std::make_shared<VisionTransformer>(size, options);
}

std::int64_t places_a_side(const at::Tensor& positions) {
  if (positions.dim() != 3 || positions.size(0) != 1 || positions.size(1) < 2) return 0;
  const auto patches = positions.size(1) - 1;
  const auto places = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(patches))));
  return places * places == patches ? places : 0;
}

at::Tensor resized_positions(const at::Tensor& positions, std::int64_t places) {
  const auto before = places_a_side(positions);
  if (before == 0)
    throw ModelError("positions " + c10::str(positions.sizes()) +
                     " are not those of a square and a class token");
  const auto width = positions.size(2);
  auto grid = positions.slice(1, 1).to(at::kFloat).reshape({1, before, before, width}).permute({0, 3, 1, 2});
  grid = at::upsample_bicubic2d(grid.contiguous(), {places, places}, /*align_corners=*/true);
  grid = grid.permute({0, 2, 3, 1}).reshape({1, places * places, width});
  return at::cat({positions.slice(1, 0, 1).to(at::kFloat), grid}, 1);
}

}  // namespace deda::models
