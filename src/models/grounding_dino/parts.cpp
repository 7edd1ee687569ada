#include "models/grounding_dino/parts.h"

namespace deda::models {

at::Tensor GroundingDinoPlaces::real() const {
  return padding.defined() ? padding.logical_not().unsqueeze(1).unsqueeze(1) : at::Tensor{};
}

Perceptron::Perceptron(std::int64_t in, std::int64_t inner, std::int64_t out, std::int64_t layers) {
  layers_ = register_module("layers", std::make_shared<List<Linear>>());
  for (std::int64_t i = 0; i < layers; ++i) layers_->add(i == 0 ? in : inner, i + 1 == layers ? out : inner);
}

at::Tensor Perceptron::forward(at::Tensor x) const {
  for (std::size_t i = 0; i < layers_->size(); ++i) {
    x = (*layers_)[i].forward(x);
    if (i + 1 < layers_->size()) x = at::relu(x);
  }
  return x;
}

DenseAttention::DenseAttention(std::int64_t width, std::int64_t heads) : heads_{heads} {
  query_ = register_module("query", std::make_shared<Linear>(width, width));
  key_ = register_module("key", std::make_shared<Linear>(width, width));
  value_ = register_module("value", std::make_shared<Linear>(width, width));
  out_ = register_module("out_proj", std::make_shared<Linear>(width, width));
}

at::Tensor DenseAttention::forward(const at::Tensor& queries, const at::Tensor& keys,
                                   const at::Tensor& values, const at::Tensor& mask) const {
  return out_->forward(
      attend_masked(query_->forward(queries), key_->forward(keys), value_->forward(values), heads_, mask));
}

}  // namespace deda::models
