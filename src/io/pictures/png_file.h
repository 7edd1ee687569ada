// PNG files by libpng: pictures as RGB, masks with their stored numbers (OpenCV would expand palettes and
// scale depths, and prints libpng's warnings without a file name).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::io {

// What a PNG stores: one number per pixel and channel, neither scaled nor looked up.
struct PngSamples {
  int height = 0, width = 0;
  int channels = 0;                    // 1 grey or palette index, 2 grey and alpha, 3 RGB, 4 RGBA
  int bit_depth = 8;                   // 1, 2, 4, 8 or 16: white is 2^bit_depth - 1
  std::vector<std::uint16_t> samples;  // [height, width, channels]
  std::vector<std::array<std::uint8_t, 4>> palette;  // RGBA by index; empty: the numbers are no indices
};

// Both throw DataError naming `name`. libpng's warnings are dropped: they are about what surrounds the pixels
// (colour profiles, times, texts); damaged pixels fail their check sum, which is an error.
PngSamples decode_png_samples(std::span<const std::uint8_t> bytes, const std::string& name);
// 8-bit RGB: palettes looked up, grey repeated, 16 bit scaled (rounded), alpha dropped; told in `notes`.
Image decode_png_picture(std::span<const std::uint8_t> bytes, const std::string& name,
                         std::vector<std::string>& notes);

}  // namespace deda::io
