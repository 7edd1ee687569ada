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

inline void fill_as_golden(torch::nn::Module& network) {
  torch::NoGradGuard no_gradients;
  std::uint64_t index = 0;
  for (auto& [name, tensor] : models::state_of(network)) {
    const auto u =
        ends_with(name, "num_batches_tracked") ? at::Tensor() : hashed_tensor(index, tensor.sizes());
    ++index;
    if (!u.defined()) continue;
    if (tensor.dim() > 1) {
      tensor.copy_((2 * u - 1) * std::sqrt(6.0 * static_cast<double>(tensor.size(0)) /
                                           static_cast<double>(tensor.numel())));
    } else if (ends_with(name, "running_var")) {
      tensor.copy_(0.5 + u);
    } else if (ends_with(name, "weight")) {
      tensor.copy_(1 + 0.2 * (2 * u - 1));
    } else {
      tensor.copy_(0.1 * (2 * u - 1));
    }
  }
}

inline at::Tensor golden_pictures(std::int64_t step) {
  return 3 * hashed_tensor(static_cast<std::uint64_t>(1000 + step), {8, 3, 32, 32}) - 1.5;
}
inline at::Tensor golden_labels(std::int64_t step) {
  const auto raw = hashed_tensor(static_cast<std::uint64_t>(2000 + step), {8, 5}) + 0.01;
  return raw / raw.sum(1, true);
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
