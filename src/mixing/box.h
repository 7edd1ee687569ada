// Boxes of CutMix (Yun et al., arXiv 1905.04899) and of what follows it.
#pragma once

#include <cstdint>

namespace deda::mixing {

// Rows y1..y2-1, columns x1..x2-1.
struct Box {
  std::int64_t y1 = 0, y2 = 0, x1 = 0, x2 = 0;
  std::int64_t area() const { return (y2 - y1) * (x2 - x1); }
  bool operator==(const Box&) const = default;
};

// The box of share 1 - lambda of a square of `side` pixels around a centre (clovaai/CutMix-PyTorch,
// train.py): w = floor(side * sqrt(1 - lambda)), from centre - floor(w/2) to centre + floor(w/2), cut at the
// borders. An odd w loses a pixel, as there. 0 <= lambda <= 1.
Box box_around(double lambda, std::int64_t centre_y, std::int64_t centre_x, std::int64_t side);

}  // namespace deda::mixing
