// tests/golden/schedulers.json and the made-up numbers and network behind it (tests/golden/schedulers.py).
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "diffusion/sampling/scheduler.h"
#include "support/hashed_numbers.h"

namespace deda::diffusion::test {

inline const nlohmann::json& golden() {
  static const nlohmann::json json = [] {
    std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/schedulers.json");
    return nlohmann::json::parse(file);
  }();
  return json;
}

// Tensor indices of the hash; fresh noise of evaluation k: fresh_index + k.
constexpr std::uint64_t clean_index = 1, noise_index = 2, fresh_index = 100;
constexpr std::int64_t elements = 4;

// Uniform in [-2, 2).
inline torch::Tensor hashed(std::uint64_t tensor_index) {
  auto tensor = torch::empty({1, 1, 2, 2}, torch::kFloat);
  for (std::int64_t i = 0; i < elements; ++i)
    tensor.data_ptr<float>()[i] =
        static_cast<float>(4 * deda::test::hashed_number(tensor_index, static_cast<std::uint64_t>(i)) - 2);
  return tensor;
}

// Stands for the UNet.
inline torch::Tensor network(const torch::Tensor& model_input, double timestep) {
  const auto places = torch::arange(elements, torch::kDouble).reshape({1, 1, 2, 2});
  return (0.3 * model_input.to(torch::kDouble) + torch::cos(0.01 * timestep + places)).to(torch::kFloat);
}

inline SchedulerKind kind_named(const std::string& name) {
  for (const auto kind : scheduler_kinds)
    if (name_of(kind) == name) return kind;
  throw std::runtime_error("no scheduler " + name);
}

inline std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    std::string all;
    for (const auto& problem : error.problems()) all += to_string(problem) + "\n";
    return all;
  }
  return "no error";
}

}  // namespace deda::diffusion::test
