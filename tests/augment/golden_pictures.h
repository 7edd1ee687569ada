// The pictures that tests/golden/torchvision_pictures.py works on, made by formulas that both share.
#pragma once

#include "io/pictures/image.h"

namespace deda::test {

// kind 0: noise; 1: slopes of few values, low contrast; 2: one colour; 3: dark noise of 32 values; 4: two
// values that are far apart, one of them rare.
inline io::Image golden_picture(int kind, int height, int width) {
  io::Image image(height, width, 3);
  std::uint64_t i = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c, ++i) {
        std::uint64_t noise = (i * 2654435761u + 12345u) & 0xFFFFFFFFu;
        noise ^= noise >> 15;
        noise = noise * 2246822519u >> 24 & 255;
        const int slope = 60 + (x * (c + 2) + y * 3) / 4 % 110;
        const int values[] = {static_cast<int>(noise), slope, 70 + 60 * c, 10 + static_cast<int>(noise) / 8,
                              noise < 3 ? 250 - 20 * c : 5 + c};
        image.pixels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(values[kind]);
      }
    }
  }
  return image;
}

}  // namespace deda::test
