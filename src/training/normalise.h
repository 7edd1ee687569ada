// 8-bit pictures to what the network sees: x/255, less the ImageNet mean, over the ImageNet deviation
// (section 4.1's recipe). On the CPU one pass through a table of 3 x 256 values; on a GPU the bytes travel
// and the arithmetic happens there.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>

namespace deda::training {

inline constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> imagenet_deviation{0.229, 0.224, 0.225};

// pixels: [size, height, width, 3] RGB. Returns float32 [size, 3, height, width] on `device`.
at::Tensor normalise(std::span<const std::uint8_t> pixels, std::int64_t size, std::int64_t height,
                     std::int64_t width, at::Device device, bool channels_last);

}  // namespace deda::training
