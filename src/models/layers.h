// The small layers that the diffusion networks are made of, with torch's tensor names (`weight`, `bias`).
// Why our own instead of torch::nn: parameters are left uninitialised, so that a network of ten gigabytes is
// built in no time and touches no memory before its file is read; and torch::nn has no half-precision way to
// build. Every network here is filled by load_weight_files() or initialise() before its first use.
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace deda::models {

// Of a parameter that is about to be made: the default type at the time of building (build_as).
at::TensorOptions parameter_options();

class Linear : public torch::nn::Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true);
  at::Tensor forward(const at::Tensor& x) const;  // [..., in] -> [..., out]
  at::Tensor weight, bias;
};

class Convolution : public torch::nn::Module {
 public:
  Convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
              std::int64_t padding = 0);
  at::Tensor forward(const at::Tensor& x) const;  // [B, in, H, W] -> [B, out, H', W']
  at::Tensor weight, bias;

 private:
  std::int64_t stride_, padding_;
};

class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, double epsilon);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor weight, bias;

 private:
  std::int64_t groups_;
  double epsilon_;
};

class LayerNorm : public torch::nn::Module {
 public:
  explicit LayerNorm(std::int64_t width, double epsilon = 1e-5);
  at::Tensor forward(const at::Tensor& x) const;
  at::Tensor weight, bias;

 private:
  double epsilon_;
};

class Embedding : public torch::nn::Module {
 public:
  Embedding(std::int64_t rows, std::int64_t width);
  at::Tensor weight;
};

// Children "0", "1", ... under one name, as Python's ModuleList.
template <class Item>
class List : public torch::nn::Module {
 public:
  template <class... Arguments>
  std::shared_ptr<Item> add(Arguments&&... arguments) {
    return add_made(std::make_shared<Item>(std::forward<Arguments>(arguments)...));
  }
  std::shared_ptr<Item> add_made(std::shared_ptr<Item> item) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(item)));
    return items_.back();
  }
  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  Item& operator[](std::size_t i) const { return *items_[i]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<Item>> items_;
};

// Multi-head attention on [B, N, heads * d] projections, scale 1/sqrt(d); fused kernel where torch has one.
at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, std::int64_t heads,
                  bool causal = false);
// Of the whole process: heads narrower than 64 are padded to 64 in half precision on a GPU. The result is the
// same: zeros add nothing to a product, and the scale stays that of the true width. Off: fused kernels take
// every width that is a multiple of 8.
void pad_attention_heads(bool on);
// The same with a mask that broadcasts to [B, heads, N, M]: bool (true: looks) or numbers to add;
// undefined: all look at all.
at::Tensor attend_masked(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         std::int64_t heads, const at::Tensor& mask);

// Builds a network whose parameters are of type `dtype`: the default type while `make` runs.
template <class Make>
auto build_as(at::ScalarType dtype, const Make& make) {
  struct Restore {
    caffe2::TypeMeta before = at::get_default_dtype();
    ~Restore() { at::set_default_dtype(before); }
  } restore;
  at::set_default_dtype(c10::scalarTypeToTypeMeta(dtype));
  return make();
}

// Convolution kernels to channels-last order: faster on CPUs and GPUs, same results up to rounding.
void use_channels_last(torch::nn::Module& network);

// Number of parameters.
std::int64_t parameter_count(const torch::nn::Module& network);
// No gradient is kept for any parameter from now on.
void freeze(torch::nn::Module& network);

}  // namespace deda::models
