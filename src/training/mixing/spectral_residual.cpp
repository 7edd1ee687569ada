#include "training/mixing/spectral_residual.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>

#include "core/error.h"

namespace deda::training {
namespace {

constexpr std::int64_t blur_radius = 3;               // of a kernel of 7
constexpr std::int64_t least_side = blur_radius + 1;  // a border can be reflected so far
constexpr double inner_sigma = 3;                     // of the blur at the transform's size
constexpr double least_power = 1e-10;                 // added to |F|^2: no logarithm of 0
constexpr std::array<double, 3> gray_weights{0.2989, 0.587, 0.114};

void check(const at::Tensor& tensor, bool right_shape, const char* shape) {
  const std::int64_t dimensions = tensor.dim();
  if (!right_shape || tensor.scalar_type() != at::kFloat || tensor.size(dimensions - 2) < least_side ||
      tensor.size(dimensions - 1) < least_side)
    throw ModelError(std::string("saliency needs ") + shape + " float32 with sides of " +
                     std::to_string(least_side) + " or more, not " + c10::str(tensor.sizes()) + " of " +
                     c10::toString(tensor.scalar_type()));
}

// weights[0] of each entry and weights[k] of the two that are k away along `dimension`, which has room of
// weights.size() - 1 entries on both sides. By shifted sums: a convolution would be run in TF32 or in half
// precision where those are allowed.
template <std::size_t size>
at::Tensor weighted_along(const at::Tensor& padded, std::int64_t dimension,
                          const std::array<double, size>& weights) {
  constexpr auto room = static_cast<std::int64_t>(size) - 1;
  const std::int64_t count = padded.size(dimension) - 2 * room;
  auto sum = padded.narrow(dimension, room, count) * weights[0];
  for (std::int64_t k = 1; k <= room; ++k) {
    const double weight = weights[static_cast<std::size_t>(k)];
    sum.add_(padded.narrow(dimension, room - k, count), weight);
    sum.add_(padded.narrow(dimension, room + k, count), weight);
  }
  return sum;
}

at::Tensor mean_3x3(const at::Tensor& maps) {
  constexpr std::array<double, 2> thirds{1.0 / 3, 1.0 / 3};
  return weighted_along(weighted_along(at::replication_pad2d(maps, {1, 1, 1, 1}), 2, thirds), 1, thirds);
}

// As torchvision's Resize does to tensors since 0.17: bilinear, antialiased where it shrinks.
at::Tensor resized(const at::Tensor& maps, std::int64_t height, std::int64_t width) {
  return at::_upsample_bilinear2d_aa(maps.unsqueeze(1), {height, width}, /*align_corners=*/false).squeeze(1);
}

}  // namespace

at::Tensor gaussian_blur_7x7(const at::Tensor& maps, double sigma) {
  check(maps, maps.dim() == 3, "maps [B, H, W]");
  if (!(sigma > 0)) throw ModelError("a blur's sigma is above 0, not " + std::to_string(sigma));
  const at::NoGradGuard no_gradients;
  std::array<double, blur_radius + 1> weights{};
  double sum = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const double distance = static_cast<double>(k) / sigma;
    weights[k] = std::exp(-0.5 * distance * distance);
    sum += k == 0 ? weights[k] : 2 * weights[k];
  }
  for (double& weight : weights) weight /= sum;
  const auto padded = at::reflection_pad2d(maps, {blur_radius, blur_radius, blur_radius, blur_radius});
  return weighted_along(weighted_along(padded, 2, weights), 1, weights);
}

at::Tensor spectral_residual(const at::Tensor& pictures) {
  check(pictures, pictures.dim() == 4 && pictures.size(1) == 3, "pictures [B, 3, H, W]");
  const at::NoGradGuard no_gradients;
  const std::int64_t height = pictures.size(2), width = pictures.size(3);
  auto gray = pictures.select(1, 0) * gray_weights[0];
  gray.add_(pictures.select(1, 1), gray_weights[1]);
  gray.add_(pictures.select(1, 2), gray_weights[2]);
  const bool large = height > spectral_side;
  if (large) gray = resized(gray, spectral_side, spectral_side);

  const auto spectrum = at::fft_fft2(gray);
  const auto parts = at::view_as_real(spectrum);
  const auto log_amplitude = at::square(parts).sum(-1).add_(least_power).log_().mul_(0.5);
  // The original multiplies by the residual exp(log m - mean(log m)) and divides by the amplitude m =
  // exp(log m): together exp(-mean(log m)).
  const auto factor = mean_3x3(log_amplitude).neg_().exp_();
  auto maps = at::fft_ifft2(spectrum * factor).abs();

  maps = gaussian_blur_7x7(maps, inner_sigma);
  return large ? resized(maps, height, width) : maps;
}

}  // namespace deda::training
