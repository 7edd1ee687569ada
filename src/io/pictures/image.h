// An 8-bit picture in memory: rows top to bottom, pixels interleaved, RGB order (never BGR), no padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace deda::io {

struct Image {
  int height = 0;
  int width = 0;
  int channels = 0;                  // 1 grey or mask, 3 RGB, 4 RGBA (straight alpha)
  std::vector<std::uint8_t> pixels;  // [height, width, channels]

  Image() = default;
  Image(int height_, int width_, int channels_)
      : height{height_},
        width{width_},
        channels{channels_},
        pixels(static_cast<std::size_t>(height_) * static_cast<std::size_t>(width_) *
               static_cast<std::size_t>(channels_)) {}
  bool empty() const { return pixels.empty(); }
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
  const std::uint8_t* row(int y) const {
    return pixels.data() + static_cast<std::size_t>(y) * width * channels;
  }
};

}  // namespace deda::io
