// A mask as a few hundred numbers: sampled on a coarse grid and written as run lengths, so that a store can
// keep what every source saw, the rejected included, and overlays can be drawn without running a network
// again.
#pragma once

#include <cstdint>
#include <vector>

#include "io/pictures/image.h"

namespace deda::decoupling {

struct Sketch {
  int height = 0, width = 0;  // of the grid, at most sketch_side
  std::vector<std::uint32_t>
      runs;  // row by row, alternating from "not the object"; their sum is height * width
  bool empty() const { return runs.empty(); }
};

inline constexpr int sketch_side = 128;

Sketch sketch_of(const io::Image& mask);  // [H, W, 1]; the pixel under each cell's centre
// [height, width, 1], 255 object. Runs that do not fit the grid are cut.
io::Image mask_of(const Sketch& sketch);

}  // namespace deda::decoupling
