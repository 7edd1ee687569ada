#include "models/classifiers/resnet.h"

#include <torch/nn/functional/pooling.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "models/classifiers/batch_norm.h"

namespace deda::models {
namespace {

namespace nn = torch::nn;

nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// Shared by both blocks: the shortcut, which is a projection where shape or resolution changes.
class Block : public nn::Module {
 protected:
  void add_projection(std::int64_t in, std::int64_t out, std::int64_t stride) {
    projection_ =
        register_module("downsample", nn::Sequential(convolution(in, out, 1, stride), BatchNorm2d(out)));
  }
  torch::Tensor shortcut(const torch::Tensor& x) { return projection_ ? projection_->forward(x) : x; }

 private:
  nn::Sequential projection_{nullptr};
};

// Two 3x3 convolutions (ResNet-18).
class BasicBlock : public Block {
 public:
  static constexpr std::int64_t expansion = 1;
  BasicBlock(std::int64_t in, std::int64_t width, std::int64_t stride) {
    conv1_ = register_module("conv1", convolution(in, width, 3, stride));
    bn1_ = register_module("bn1", BatchNorm2d(width));
    conv2_ = register_module("conv2", convolution(width, width, 3, 1));
    bn2_ = register_module("bn2", BatchNorm2d(width));
    if (stride != 1 || in != width) add_projection(in, width, stride);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    auto y = bn1_(conv1_(x)).relu_();
    y = bn2_(conv2_(y));
    return y.add_(shortcut(x)).relu_();
  }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  BatchNorm2d bn1_{nullptr}, bn2_{nullptr};
};

// 1x1, 3x3, 1x1 with four times the width at the end (ResNet-50).
class Bottleneck : public Block {
 public:
  static constexpr std::int64_t expansion = 4;
  Bottleneck(std::int64_t in, std::int64_t width, std::int64_t stride) {
    const std::int64_t out = width * expansion;
    conv1_ = register_module("conv1", convolution(in, width, 1, 1));
    bn1_ = register_module("bn1", BatchNorm2d(width));
    conv2_ = register_module("conv2", convolution(width, width, 3, stride));
    bn2_ = register_module("bn2", BatchNorm2d(width));
    conv3_ = register_module("conv3", convolution(width, out, 1, 1));
    bn3_ = register_module("bn3", BatchNorm2d(out));
    if (stride != 1 || in != out) add_projection(in, out, stride);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    auto y = bn1_(conv1_(x)).relu_();
    y = bn2_(conv2_(y)).relu_();
    y = bn3_(conv3_(y));
    return y.add_(shortcut(x)).relu_();
  }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr};
  BatchNorm2d bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
};

template <class BlockType>
class ResNet final : public Classifier {
 public:
  ResNet(const std::array<int, 4>& depths, std::int64_t classes) : classes_{classes} {
    constexpr std::array<std::int64_t, 4> widths{64, 128, 256, 512};
    conv1_ = register_module("conv1",
                             nn::Conv2d(nn::Conv2dOptions(3, widths[0], 7).stride(2).padding(3).bias(false)));
    bn1_ = register_module("bn1", BatchNorm2d(widths[0]));
    std::int64_t in = widths[0];
    for (std::size_t stage = 0; stage < depths.size(); ++stage) {
      nn::Sequential blocks;
      for (int b = 0; b < depths[stage]; ++b) {
        const std::int64_t stride = (b == 0 && stage > 0) ? 2 : 1;
        blocks->push_back(std::make_shared<BlockType>(in, widths[stage], stride));
        in = widths[stage] * BlockType::expansion;
      }
      stages_[stage] = register_module("layer" + std::to_string(stage + 1), blocks);
    }
    fc_ = register_module("fc", nn::Linear(in, classes));
  }

  torch::Tensor forward(torch::Tensor x) override {
    return fc_(at::adaptive_avg_pool2d(features(std::move(x)), {1, 1}).flatten(1));
  }
  torch::Tensor features(torch::Tensor x) override {
    x = bn1_(conv1_(x)).relu_();
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (auto& stage : stages_) x = stage->forward(x);
    return x;
  }
  std::string head_name() const override { return "fc"; }
  std::int64_t classes() const override { return classes_; }
  std::optional<InitialValues> initial_values(const std::string& name,
                                              const torch::Tensor& parameter) const override {
    if (name == "fc.weight" || name == "fc.bias") return plain_linear(fc_->options.in_features());
    if (parameter.dim() == 4) return he_fan_out(parameter);
    return norm_values(name);
  }

 private:
  std::int64_t classes_;
  nn::Conv2d conv1_{nullptr};
  BatchNorm2d bn1_{nullptr};
  std::array<nn::Sequential, 4> stages_{nn::Sequential{nullptr}, nn::Sequential{nullptr},
                                        nn::Sequential{nullptr}, nn::Sequential{nullptr}};
  nn::Linear fc_{nullptr};
};

}  // namespace

std::shared_ptr<Classifier> make_resnet18(std::int64_t classes) {
  return std::make_shared<ResNet<BasicBlock>>(std::array<int, 4>{2, 2, 2, 2}, classes);
}

std::shared_ptr<Classifier> make_resnet50(std::int64_t classes) {
  return std::make_shared<ResNet<Bottleneck>>(std::array<int, 4>{3, 4, 6, 3}, classes);
}

}  // namespace deda::models
