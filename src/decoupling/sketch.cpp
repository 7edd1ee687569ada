#include "decoupling/sketch.h"

#include <algorithm>

namespace deda::decoupling {

Sketch sketch_of(const io::Image& mask) {
  Sketch sketch;
  if (mask.empty()) return sketch;
  const double scale = std::max(1.0, static_cast<double>(std::max(mask.height, mask.width)) / sketch_side);
  sketch.height = std::max(1, static_cast<int>(mask.height / scale));
  sketch.width = std::max(1, static_cast<int>(mask.width / scale));
  bool object = false;
  std::uint32_t run = 0;
  for (int y = 0; y < sketch.height; ++y) {
    const std::uint8_t* row =
        mask.row(std::min(mask.height - 1, static_cast<int>((y + 0.5) * mask.height / sketch.height)));
    for (int x = 0; x < sketch.width; ++x) {
      const bool here =
          row[std::min(mask.width - 1, static_cast<int>((x + 0.5) * mask.width / sketch.width))] != 0;
      if (here != object) {
        sketch.runs.push_back(run);
        run = 0;
        object = here;
      }
      ++run;
    }
  }
  sketch.runs.push_back(run);
  return sketch;
}

io::Image mask_of(const Sketch& sketch) {
  io::Image mask(sketch.height, sketch.width, 1);
  std::size_t place = 0;
  bool object = false;
  for (const std::uint32_t run : sketch.runs) {
    const std::size_t end = std::min(mask.pixels.size(), place + run);
    if (object)
      std::fill(mask.pixels.begin() + static_cast<std::ptrdiff_t>(place),
                mask.pixels.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{255});
    place = end;
    object = !object;
  }
  return mask;
}

}  // namespace deda::decoupling
