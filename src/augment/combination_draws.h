// What De-DA's combination decides for one sample and what comes of it, complete enough to render it again;
// names as in traces (`draw.*`). Boxes are x, y, w, h on the canvas before the final flip; a softened edge
// (augment.edge_sigma) reaches over its box.
#pragma once

#include <array>
#include <cstdint>

namespace deda::augment {

struct CombinationDraws {
  std::int64_t anchor =
      -1;  // training index of the first CDP: the sample's own, but for augment.anchor = random
  std::int32_t version = 0;  // 0 real, 1..K synthetic, as the store counts them: rejected ones leave gaps
  std::int64_t mix = -1;     // training index of the second CDP, -1 none
  std::int32_t mix_version = 0;
  std::int32_t place = 0, mix_place = 0;  // of that version among those that the pool has, from 0
  std::int64_t cip = -1;                  // training index of the CIP donor
  std::int32_t class1 = -1, class2 = -1;  // of the CDPs
  std::int32_t label = 0, mix_label = 0;  // of that class among those that its picture has CDPs of, from 0
  double u1 = 0,
         u2 = 0;  // size: longer side of the box / shorter canvas side; of a CDP in place set by compose
  std::array<std::int32_t, 4> box1{}, box2{};
  bool flip1 = false, flip2 = false;
  double angle1 = 0, angle2 = 0;      // degrees, counter-clockwise
  std::int64_t area1 = 0, area2 = 0;  // visible pixels (blurred alpha > 0.5)
};

}  // namespace deda::augment
