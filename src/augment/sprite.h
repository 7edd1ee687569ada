// A CDP made ready to paste: premultiplied, turned, mirrored and scaled in one pass of bilinear samples from
// the pyramid level that is at most twice too fine. Premultiplied colour has no halo; the level keeps
// shrinking free of aliasing.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "augment/part_pool.h"
#include "augment/pixel_rows.h"

namespace deda::augment {

// A CDP's pyramid of premultiplied RGBA, each level with a transparent border of one pixel, and the outline
// of its alpha.
struct PreparedCdp {
  struct Level {
    int height = 0, width = 0;          // without the border
    std::vector<std::uint32_t> pixels;  // [(height+2) * (width+2)] and padding for wide loads
  };
  std::vector<Level> levels;
  std::vector<std::pair<double, double>>
      outline;  // convex hull of the pixels with alpha > 0, in source pixels
  int height = 0, width = 0;
  std::size_t bytes() const;
};
PreparedCdp prepare_cdp(const PartView& cdp);

struct Sprite {
  int height = 0, width = 0;
  std::vector<std::uint32_t> pixels;  // [height, width] premultiplied RGBA
  std::vector<std::uint8_t> cover;    // [height, width] 1 where alpha > 0.5
  std::int64_t area = 0;              // sum of cover
};

// Mirrors (if asked), turns counter-clockwise by `degrees`, cuts tight, and scales so that the longer side of
// that box is `longer_side` pixels; `max_enlarge` > 0 caps the scale. Sides are at least 1 and at most
// `limit`. Reuses the sprite's memory.
void make_sprite(const PreparedCdp& cdp, double longer_side, double degrees, bool mirrored,
                 double max_enlarge, int limit, const RowKernels& kernels, Sprite& sprite);

}  // namespace deda::augment
