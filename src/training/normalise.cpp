#include "training/normalise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/error.h"

namespace deda::training {
namespace {

using Table = std::array<std::array<float, 256>, 3>;

// In float32 and in this order, as torchvision's ToTensor and Normalize do.
Table make_table() {
  Table table{};
  for (std::size_t channel = 0; channel < table.size(); ++channel) {
    const auto mean = static_cast<float>(imagenet_mean[channel]),
               deviation = static_cast<float>(imagenet_deviation[channel]);
    for (std::size_t value = 0; value < table[channel].size(); ++value) {
      table[channel][value] = (static_cast<float>(value) / 255.0f - mean) / deviation;
    }
  }
  return table;
}

at::Tensor normalise_on_cpu(const at::Tensor& pixels, bool channels_last) {
  const std::int64_t size = pixels.size(0), height = pixels.size(1), width = pixels.size(2);
  static const Table table = make_table();
  const auto order = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  auto result = at::empty({size, 3, height, width}, at::TensorOptions(at::kFloat), order);
  float* out = result.mutable_data_ptr<float>();
  const auto plain = pixels.contiguous();
  const auto* in = plain.const_data_ptr<std::uint8_t>();
  const std::int64_t plane = height * width;
  constexpr std::int64_t pixels_per_task = 16384;
  const std::int64_t rows_per_task = std::max<std::int64_t>(1, pixels_per_task / width);
  at::parallel_for(0, size * height, rows_per_task, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      const std::uint8_t* from = in + 3 * row * width;
      float* to =
          channels_last ? out + 3 * row * width : out + (row / height) * 3 * plane + (row % height) * width;
      const std::int64_t pixel_step = channels_last ? 3 : 1, channel_step = channels_last ? 1 : plane;
      for (std::int64_t x = 0; x < width; ++x) {
        for (std::int64_t channel = 0; channel < 3; ++channel) {
          to[x * pixel_step + channel * channel_step] =
              table[static_cast<std::size_t>(channel)][from[3 * x + channel]];
        }
      }
    }
  });
  return result;
}

// As float32 in the order in which the network's channels lie.
at::Tensor per_channel(const std::array<double, 3>& values, at::Device device) {
  const std::vector<double> list(values.begin(), values.end());
  return at::tensor(list, at::kDouble).to(at::kFloat).view({1, 3, 1, 1}).to(device);
}

}  // namespace

Normaliser::Normaliser(at::Device device, bool channels_last)
    : device_{device}, channels_last_{channels_last} {
  if (device.is_cpu()) return;
  std::array<double, 3> factors{}, offsets{};
  for (std::size_t channel = 0; channel < factors.size(); ++channel) {
    factors[channel] = 1.0 / (255.0 * imagenet_deviation[channel]);
    offsets[channel] = -imagenet_mean[channel] / imagenet_deviation[channel];
  }
  factor_ = per_channel(factors, device);
  offset_ = per_channel(offsets, device);
}

at::Tensor Normaliser::operator()(const at::Tensor& pixels) const {
  if (pixels.dim() != 4 || pixels.size(3) != 3 || pixels.scalar_type() != at::kByte)
    throw ModelError("pictures to normalise are [B, H, W, 3] bytes, not " + c10::str(pixels.sizes()) +
                     " of " + c10::toString(pixels.scalar_type()));
  if (device_.is_cpu()) return normalise_on_cpu(pixels, channels_last_);
  // Bytes in, float32 out, in the order of the bytes: channels last.
  const auto result = at::addcmul(offset_, pixels.permute({0, 3, 1, 2}), factor_);
  return channels_last_ ? result.contiguous(at::MemoryFormat::ChannelsLast) : result.contiguous();
}

}  // namespace deda::training
