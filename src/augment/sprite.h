// A CDP made ready to paste: premultiplied, turned, mirrored and scaled in one pass of bilinear samples from
// the pyramid level that is at most twice too fine. Premultiplied colour has no halo; the level keeps
// shrinking free of aliasing.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "augment/part_pool.h"
#include "augment/pixel_rows.h"
#include "augment/soft_edge.h"

namespace deda::augment {

// A CDP's pyramid of premultiplied RGBA, each level with a transparent border of one pixel, and the outline
// of its alpha.
struct PreparedCdp {
  static constexpr double not_measured = -1;
  struct Level {
    int height = 0, width = 0;          // without the border
    std::vector<std::uint32_t> pixels;  // [(height+2) * (width+2)] and padding for wide loads
    double softness = not_measured;     // sigma of its edges in its pixels (edge_softness)
  };
  std::vector<Level> levels;
  std::vector<std::pair<double, double>>
      outline;  // convex hull of the pixels with alpha > 0, in source pixels
  int height = 0, width = 0;
  std::size_t bytes() const;
};
// `for_soft_edges`: measure the levels' softness, which make_sprite needs for edge_sigma > 0; a third of the
// time.
PreparedCdp prepare_cdp(const PartView& cdp, bool for_soft_edges = true);

struct Sprite {
  int height = 0, width = 0;  // of the box that encloses the object tightly
  // Room around the box that a softened edge takes: rows above and below; columns left of it and right of it.
  // What is behind `reach` pixels of it is transparent.
  int reach = 0, room = 0;
  int stride = 0;                     // pixels a row
  std::vector<std::uint32_t> pixels;  // [height + 2 reach, stride] premultiplied RGBA
  std::vector<std::uint8_t> cover;    // [height, width] 1 where alpha > 0.5; nothing outside of the box is
  std::int64_t area = 0;              // sum of cover
  SoftEdgeScratch scratch;

  // Row of the box, -reach .. height + reach - 1, at the box's first column.
  const std::uint32_t* row(int y) const {
    return pixels.data() + static_cast<std::ptrdiff_t>(y + reach) * stride + room;
  }
  std::uint32_t* row(int y) { return const_cast<std::uint32_t*>(std::as_const(*this).row(y)); }
};

// Mirrors (if asked), turns counter-clockwise by `degrees`, cuts tight, and scales so that the longer side of
// that box is `longer_side` pixels; `max_enlarge` > 0 caps the scale. Sides are at least 1 and at most
// `limit`. The edge is then softened to a sigma of `edge_sigma` pixels (0 to 5) where it is harder; the box
// stays. Reuses the sprite's memory.
void make_sprite(const PreparedCdp& cdp, double longer_side, double degrees, bool mirrored,
                 double max_enlarge, int limit, const RowKernels& kernels, Sprite& sprite,
                 double edge_sigma = 0.0);

}  // namespace deda::augment
