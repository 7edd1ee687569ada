// Parts drawn for tests: discs on transparency and flat backgrounds, so that what was pasted where can be
// read off the pixels.
#pragma once

#include <array>
#include <cmath>
#include <deque>
#include <vector>

#include "augment/part_pool.h"
#include "augment/sprite.h"

namespace deda::test {

// Owns the pixels that its pool's views point to.
struct MadeUpParts {
  std::deque<std::vector<std::uint8_t>> pixels;
  std::array<double, 4> lies{};  // where the next discs lie in their pictures

  augment::PartView disc(int height, int width, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
    auto& bytes = pixels.emplace_back(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 4);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const double dx = (x + 0.5 - width / 2.0) / (width / 2.0),
                     dy = (y + 0.5 - height / 2.0) / (height / 2.0);
        std::uint8_t* to = &bytes[4 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                                       static_cast<std::size_t>(x))];
        to[0] = red;
        to[1] = green;
        to[2] = blue;
        to[3] = dx * dx + dy * dy <= 1 ? 255 : 0;
      }
    }
    return {height, width, 4, bytes, 0.5, 0, lies};
  }
  augment::PartView flat(int height, int width, std::uint8_t value) {
    auto& bytes =
        pixels.emplace_back(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3, value);
    return {height, width, 3, bytes, 0};
  }
  // Items of classes 0, 1, ..., classes-1, 0, 1, ...; each with one real CDP, `synthetic` versions and a CIP.
  augment::PartPool pool(int items, int classes, int synthetic = 0) {
    std::vector<std::int32_t> ids;
    std::vector<augment::PartPool::ItemParts> parts;
    for (int item = 0; item < items; ++item) {
      ids.push_back(item % classes);
      augment::PartPool::ItemParts made;
      for (int version = 0; version <= synthetic; ++version)
        made.cdps.push_back(
            disc(40, 60, 250, static_cast<std::uint8_t>(item), static_cast<std::uint8_t>(version)));
      made.cip = flat(80, 100, static_cast<std::uint8_t>(10 + item % classes));
      parts.push_back(std::move(made));
    }
    return {std::move(ids), std::move(parts)};
  }
};

}  // namespace deda::test
