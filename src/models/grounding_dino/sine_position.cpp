#include "models/grounding_dino/sine_position.h"

#include <cmath>
#include <utility>
#include <vector>

namespace deda::models {
namespace {

constexpr double full_turn = 2.0 * M_PI;

// x [...] in turns' units already -> [..., features].
at::Tensor interleaved(const at::Tensor& x, std::int64_t features, double temperature) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(x.device());
  const auto pair = at::arange(features, options).div(2, "floor");
  const auto period = at::pow(temperature, 2 * pair / static_cast<double>(features));
  const auto angle = x.unsqueeze(-1) / period;
  return at::stack({angle.slice(-1, 0, c10::nullopt, 2).sin(), angle.slice(-1, 1, c10::nullopt, 2).cos()}, -1)
      .flatten(-2);
}

}  // namespace

at::Tensor sine_code(const at::Tensor& coordinates, std::int64_t features, double temperature) {
  std::vector<at::Tensor> codes;
  for (const auto& coordinate : coordinates.to(at::kFloat).unbind(-1))
    codes.push_back(interleaved(coordinate * full_turn, features, temperature));
  if (codes.size() >= 2) std::swap(codes[0], codes[1]);
  return at::cat(codes, -1);
}

at::Tensor sine_map(const at::Tensor& mask, std::int64_t features, double temperature) {
  constexpr double least = 1e-6;  // keeps 0 / 0 away in columns without a valid place
  const auto along = [&](std::int64_t axis) {
    const auto count = mask.cumsum(axis, at::kFloat);
    return count / (count.narrow(axis, count.size(axis) - 1, 1) + least) * full_turn;
  };
  return at::cat({interleaved(along(1), features, temperature), interleaved(along(2), features, temperature)},
                 -1)
      .flatten(1, 2);
}

}  // namespace deda::models
