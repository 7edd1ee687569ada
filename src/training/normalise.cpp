#include "training/normalise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

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

at::Tensor normalise_on_cpu(std::span<const std::uint8_t> pixels, std::int64_t size, std::int64_t height,
                            std::int64_t width, bool channels_last) {
  static const Table table = make_table();
  const auto order = channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  auto result = at::empty({size, 3, height, width}, at::TensorOptions(at::kFloat), order);
  float* out = result.mutable_data_ptr<float>();
  const std::uint8_t* in = pixels.data();
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

at::Tensor normalise_on_device(std::span<const std::uint8_t> pixels, std::int64_t size, std::int64_t height,
                               std::int64_t width, at::Device device) {
  const auto bytes = at::TensorOptions(at::kByte);
  // Pinned memory of the caching host allocator: the copy runs beside the kernels, and the block is not
  // reused before it ends.
  auto staged = at::empty({size, height, width, 3}, bytes.pinned_memory(true));
  std::copy(pixels.begin(), pixels.end(), staged.mutable_data_ptr<std::uint8_t>());
  auto result = staged.to(device, /*non_blocking=*/true)
                    .permute({0, 3, 1, 2})
                    .to(at::kFloat)
                    .div_(255.0);  // keeps the channels-last order
  // Scalars go with the kernel launches; a tensor of three constants would cost a blocking copy per batch.
  for (std::int64_t channel = 0; channel < 3; ++channel) {
    const auto index = static_cast<std::size_t>(channel);
    result.select(1, channel).sub_(imagenet_mean[index]).div_(imagenet_deviation[index]);
  }
  return result;
}

}  // namespace

at::Tensor normalise(std::span<const std::uint8_t> pixels, std::int64_t size, std::int64_t height,
                     std::int64_t width, at::Device device, bool channels_last) {
  if (static_cast<std::int64_t>(pixels.size()) != size * height * width * 3) {
    throw ModelError("a batch of " + std::to_string(pixels.size()) + " bytes does not hold " +
                     std::to_string(size) + " pictures of " + std::to_string(height) + " x " +
                     std::to_string(width) + " x 3");
  }
  if (device.is_cpu()) return normalise_on_cpu(pixels, size, height, width, channels_last);
  auto result = normalise_on_device(pixels, size, height, width, device);
  return channels_last ? result : result.contiguous();
}

}  // namespace deda::training
