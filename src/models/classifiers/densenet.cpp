#include "models/classifiers/densenet.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <optional>
#include <string>
#include <utility>

#include "models/classifiers/batch_norm.h"
#include "models/recompute.h"

namespace deda::models {
namespace {

namespace nn = torch::nn;
using Norm = BatchNorm2d;

nn::Conv2d unbiased_convolution(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                std::int64_t padding = 0, std::int64_t stride = 1) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(false));
}

class DenseLayer : public nn::Module {
 public:
  DenseLayer(std::int64_t in, const DenseNetSize& size, bool recompute) : recompute_{recompute} {
    const auto inner = size.bottleneck * size.growth;
    norm1_ = register_module("norm1", Norm(in));
    conv1_ = register_module("conv1", unbiased_convolution(in, inner, 1));
    norm2_ = register_module("norm2", Norm(inner));
    conv2_ = register_module("conv2", unbiased_convolution(inner, size.growth, 3, 1));
  }

  // What the block has so far, in pieces -> the piece that this layer adds.
  torch::Tensor forward(const std::vector<torch::Tensor>& pieces) {
    const bool again_later = recompute_ && is_training() && at::GradMode::is_enabled();
    auto x = again_later ? squeezed_and_forgotten(pieces) : conv1_(norm1_(at::cat(pieces, 1)).relu_());
    return conv2_(norm2_(x).relu_());
  }

 private:
  // The same numbers without keeping the concatenation and its norm: they are as large as all pieces
  // together, in every layer.
  torch::Tensor squeezed_and_forgotten(const std::vector<torch::Tensor>& pieces) {
    auto inputs = pieces;
    inputs.insert(inputs.end(), {norm1_->weight, norm1_->bias, conv1_->weight});
    const auto count = pieces.size();
    return recomputed_in_backward(
        inputs, [norm = norm1_, conv = conv1_, count](at::TensorList from, bool again) mutable {
          const auto all = at::cat(from.slice(0, count), 1);
          if (!again) return conv(norm(all).relu_());
          return at::conv2d(norm->again(all, from[count], from[count + 1]).relu_(), from[count + 2]);
        });
  }

  bool recompute_;
  Norm norm1_{nullptr}, norm2_{nullptr};
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
};

class DenseBlock : public nn::Module {
 public:
  DenseBlock(int layers, std::int64_t in, const DenseNetSize& size, bool recompute) {
    for (int i = 0; i < layers; ++i) {
      layers_.push_back(register_module(
          "denselayer" + std::to_string(i + 1),
          std::make_shared<DenseLayer>(in + static_cast<std::int64_t>(i) * size.growth, size, recompute)));
    }
  }
  torch::Tensor forward(const torch::Tensor& x) {
    std::vector<torch::Tensor> pieces{x};
    for (const auto& layer : layers_) pieces.push_back(layer->forward(pieces));
    return at::cat(pieces, 1);
  }

 private:
  std::vector<std::shared_ptr<DenseLayer>> layers_;
};

// Between two blocks: half the channels, half the side.
class Transition : public nn::Module {
 public:
  Transition(std::int64_t in, std::int64_t out) {
    norm_ = register_module("norm", Norm(in));
    conv_ = register_module("conv", unbiased_convolution(in, out, 1));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return at::avg_pool2d(conv_(norm_(x).relu_()), {2, 2}, {2, 2});
  }

 private:
  Norm norm_{nullptr};
  nn::Conv2d conv_{nullptr};
};

// torchvision's `features`: all but the last layer.
class DenseFeatures : public nn::Module {
 public:
  DenseFeatures(const DenseNetSize& size, bool recompute) {
    conv0_ = register_module("conv0", unbiased_convolution(3, size.stem, 7, 3, 2));
    norm0_ = register_module("norm0", Norm(size.stem));
    channels_ = size.stem;
    for (std::size_t i = 0; i < size.layers.size(); ++i) {
      const auto number = std::to_string(i + 1);
      blocks_.push_back(register_module(
          "denseblock" + number, std::make_shared<DenseBlock>(size.layers[i], channels_, size, recompute)));
      channels_ += size.layers[i] * size.growth;
      if (i + 1 == size.layers.size()) break;
      transitions_.push_back(
          register_module("transition" + number, std::make_shared<Transition>(channels_, channels_ / 2)));
      channels_ /= 2;
    }
    norm5_ = register_module("norm5", Norm(channels_));
  }
  torch::Tensor forward(torch::Tensor x) {
    x = norm0_(conv0_(x)).relu_();
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i]->forward(x);
      if (i < transitions_.size()) x = transitions_[i]->forward(x);
    }
    return norm5_(x).relu_();
  }
  std::int64_t channels() const { return channels_; }

 private:
  std::int64_t channels_ = 0;
  nn::Conv2d conv0_{nullptr};
  Norm norm0_{nullptr}, norm5_{nullptr};
  std::vector<std::shared_ptr<DenseBlock>> blocks_;
  std::vector<std::shared_ptr<Transition>> transitions_;
};

class DenseNet final : public Classifier {
 public:
  DenseNet(const DenseNetSize& size, const ClassifierOptions& options) : classes_{options.classes} {
    features_ =
        register_module("features", std::make_shared<DenseFeatures>(size, options.recompute_concatenations));
    classifier_ = register_module("classifier", nn::Linear(features_->channels(), options.classes));
  }
  torch::Tensor forward(torch::Tensor x) override {
    return classifier_(at::adaptive_avg_pool2d(features(std::move(x)), {1, 1}).flatten(1));
  }
  torch::Tensor features(torch::Tensor x) override { return features_->forward(x); }
  std::string head_name() const override { return "classifier"; }
  std::int64_t classes() const override { return classes_; }
  std::optional<InitialValues> initial_values(const std::string& name,
                                              const torch::Tensor& parameter) const override {
    if (name == "classifier.weight") return plain_linear(features_->channels());
    if (name == "classifier.bias") return constant_values(0);
    if (parameter.dim() == 4) return he_fan_in(parameter);
    return norm_values(name);
  }

 private:
  std::int64_t classes_;
  std::shared_ptr<DenseFeatures> features_;
  nn::Linear classifier_{nullptr};
};

}  // namespace

std::shared_ptr<Classifier> make_densenet121(const ClassifierOptions& options) {
  return make_densenet({}, options);
}

std::shared_ptr<Classifier> make_densenet(const DenseNetSize& size, const ClassifierOptions& options) {
  return std::make_shared<DenseNet>(size, options);
}

}  // namespace deda::models
