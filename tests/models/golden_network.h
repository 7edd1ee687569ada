// What tests/golden/resnet18_reference.py did to torchvision's network, done to ours: the same made-up
// weights, pictures and labels, and digests of tensors to compare.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/weights/weights.h"
#include "support/hashed_numbers.h"

namespace deda::test {

inline nlohmann::json golden_resnet18() {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/resnet18_reference.json");
  return nlohmann::json::parse(file);
}

inline at::Tensor hashed_tensor(std::uint64_t tensor_index, at::IntArrayRef shape) {
  auto tensor = at::empty(shape, at::kDouble);
  double* data = tensor.data_ptr<double>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i)
    data[i] = hashed_number(tensor_index, static_cast<std::uint64_t>(i));
  return tensor;
}

inline bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The `index`-th tensor of a network by sorted names.
inline at::Tensor made_up_as_golden(std::uint64_t index, const std::string& name, at::IntArrayRef shape) {
  const auto u = hashed_tensor(index, shape);
  if (u.dim() > 1) {
    return (2 * u - 1) * std::sqrt(6.0 * static_cast<double>(u.size(0)) / static_cast<double>(u.numel()));
  }
  if (ends_with(name, "running_var")) return 0.5 + u;
  if (ends_with(name, "weight")) return 1 + 0.2 * (2 * u - 1);
  return 0.1 * (2 * u - 1);
}

inline void fill_as_golden(torch::nn::Module& network) {
  torch::NoGradGuard no_gradients;
  std::uint64_t index = 0;
  for (auto& [name, tensor] : models::state_of(network)) {
    at::Tensor target = tensor;
    if (!ends_with(name, "num_batches_tracked")) target.copy_(made_up_as_golden(index, name, tensor.sizes()));
    ++index;
  }
}

// tests/golden/classifiers.json: the other classifiers, and what their cases were made with.
inline nlohmann::json golden_classifiers() {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/classifiers.json");
  return nlohmann::json::parse(file);
}

// Batches of ResNet-18's reference; the other classifiers' have their own numbers of pictures and sides.
inline at::Tensor golden_pictures(std::int64_t step, std::int64_t batch = 8, std::int64_t height = 32,
                                  std::int64_t width = 32) {
  return 3 * hashed_tensor(static_cast<std::uint64_t>(1000 + step), {batch, 3, height, width}) - 1.5;
}
inline at::Tensor golden_labels(std::int64_t step, std::int64_t batch = 8) {
  const auto raw = hashed_tensor(static_cast<std::uint64_t>(2000 + step), {batch, 5}) + 0.01;
  return raw / raw.sum(1, true);
}
inline at::Tensor golden_pictures(std::int64_t step, std::int64_t batch, const nlohmann::json& sides) {
  return golden_pictures(step, batch, sides.at(0).get<std::int64_t>(), sides.at(1).get<std::int64_t>());
}

// Compares the norm and the spread-out elements; tolerance is relative to the norm.
inline void expect_digest(const at::Tensor& tensor, const nlohmann::json& golden, double tolerance,
                          const std::string& what) {
  const auto flat = tensor.detach().to(at::kDouble).contiguous().flatten();
  const double norm = golden.at("norm").get<double>();
  const auto samples = golden.at("samples").get<std::vector<double>>();
  EXPECT_NEAR(flat.norm().item<double>(), norm, tolerance * norm) << what;
  const auto last = static_cast<std::int64_t>(samples.size()) - 1;
  for (std::int64_t i = 0; i <= last; ++i) {
    EXPECT_NEAR(flat[(i * (flat.numel() - 1)) / last].item<double>(), samples[static_cast<std::size_t>(i)],
                tolerance * norm)
        << what << " element " << i;
  }
}

inline void expect_all_near(const at::Tensor& tensor, const nlohmann::json& golden, double tolerance,
                            const std::string& what) {
  const auto values = golden.get<std::vector<double>>();
  const auto flat = tensor.detach().to(at::kDouble).contiguous().flatten();
  ASSERT_EQ(flat.numel(), static_cast<std::int64_t>(values.size())) << what;
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(flat[static_cast<std::int64_t>(i)].item<double>(), values[i], tolerance) << what << " " << i;
}

}  // namespace deda::test
