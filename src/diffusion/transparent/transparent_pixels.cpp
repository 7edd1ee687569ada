#include "diffusion/transparent/transparent_pixels.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "io/pictures/alpha_pyramid.h"

namespace deda::diffusion {

TransparentPixels transparent_pixels(const std::vector<io::Image>& pictures) {
  if (pictures.empty()) throw ModelError("no picture to encode");
  const std::int64_t count = static_cast<std::int64_t>(pictures.size()), height = pictures.front().height,
                     width = pictures.front().width, plane = height * width;
  TransparentPixels out{at::empty({count, 4, height, width}, at::kFloat),
                        at::empty({count, 3, height, width}, at::kFloat)};
  for (std::int64_t b = 0; b < count; ++b) {
    const auto& rgba = pictures[static_cast<std::size_t>(b)];
    if (rgba.height != height || rgba.width != width || rgba.channels != 4)
      throw ModelError("pictures of one batch must be RGBA of one size");
    io::Image colour(rgba.height, rgba.width, 3), alpha(rgba.height, rgba.width, 1);
    float* argb = out.argb.data_ptr<float>() + b * 4 * plane;
    float* feed = out.feed.data_ptr<float>() + b * 3 * plane;
    constexpr float scale = 1.0f / 255.0f;
    for (std::int64_t i = 0; i < plane; ++i) {
      const std::uint8_t* pixel = rgba.pixels.data() + 4 * i;
      alpha.pixels[static_cast<std::size_t>(i)] = pixel[3];
      const float a = static_cast<float>(pixel[3]) * scale;
      argb[i] = a;
      for (std::int64_t c = 0; c < 3; ++c) {
        colour.pixels[static_cast<std::size_t>(3 * i + c)] = pixel[c];
        feed[c * plane + i] = (static_cast<float>(pixel[c]) * scale * 2.0f - 1.0f) * a;
      }
    }
    const auto padded = io::alpha_pyramid_colours(colour, alpha);
    for (std::int64_t i = 0; i < plane; ++i) {
      for (std::int64_t c = 0; c < 3; ++c)
        argb[(c + 1) * plane + i] = padded[static_cast<std::size_t>(3 * i + c)];
    }
  }
  return out;
}

std::vector<io::Image> rgba_pictures(const at::Tensor& argb) {
  const auto bytes = (argb.to(at::kCPU, at::kFloat).clamp(0, 1) * 255).to(at::kByte).contiguous();
  std::vector<io::Image> pictures;
  const auto height = bytes.size(2), width = bytes.size(3), plane = height * width;
  for (std::int64_t b = 0; b < bytes.size(0); ++b) {
    io::Image rgba(static_cast<int>(height), static_cast<int>(width), 4);
    const std::uint8_t* from = bytes.data_ptr<std::uint8_t>() + b * 4 * plane;
    for (std::int64_t i = 0; i < plane; ++i) {
      for (std::int64_t c = 0; c < 3; ++c)
        rgba.pixels[static_cast<std::size_t>(4 * i + c)] = from[(c + 1) * plane + i];
      rgba.pixels[static_cast<std::size_t>(4 * i + 3)] = from[i];
    }
    pictures.push_back(std::move(rgba));
  }
  return pictures;
}

}  // namespace deda::diffusion
