// The weights and inputs of tests/golden/diffusion_networks.py: numbers that both programs can make.
#pragma once

#include <torch/nn/module.h>

#include <cmath>
#include <string>

#include "models/weights/weights.h"
#include "support/hashed_numbers.h"

namespace deda::test {

inline at::Tensor made_up(std::uint64_t index, at::IntArrayRef shape, double low = -1.0, double high = 1.0) {
  auto values = at::empty(shape, at::kFloat);
  float* data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i)
    data[i] = static_cast<float>(low + (high - low) * hashed_number(index, static_cast<std::uint64_t>(i)));
  return values;
}

inline at::Tensor made_up_weight(std::uint64_t index, const std::string& name, at::IntArrayRef shape) {
  const auto ends_with = [&](const std::string& tail) {
    return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  };
  if (name.find("norm") != std::string::npos && ends_with("weight")) return made_up(index, shape, 0.8, 1.2);
  if (shape.size() == 1) return made_up(index, shape, -0.1, 0.1);
  if (name.find("embedding.weight") != std::string::npos && name.find("embeddings.") != std::string::npos)
    return made_up(index, shape, -0.5, 0.5);
  double fan_in = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
  const double bound = 1.5 / std::sqrt(fan_in);
  return made_up(index, shape, -bound, bound);
}

// Every tensor by name, numbered in the order of sorted names.
inline void fill_made_up(torch::nn::Module& network) {
  torch::NoGradGuard no_gradients;
  std::uint64_t index = 0;
  for (auto& [name, tensor] : models::state_of(network)) {
    at::Tensor target = tensor;
    target.copy_(made_up_weight(index++, name, tensor.sizes()));
  }
}

}  // namespace deda::test
