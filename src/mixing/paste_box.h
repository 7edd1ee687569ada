// The partner's pixels inside a box, the own ones outside, and labels by area: CutMix and SaliencyMix.
#pragma once

#include <algorithm>

#include "mixing/method.h"

namespace deda::mixing {

inline LabelWeights paste_box(const Box& box, std::int64_t side, Pixels own, Pixels partner,
                              std::span<std::uint8_t> mixed) {
  std::copy(own.begin(), own.end(), mixed.begin());
  constexpr std::int64_t channels = 3;
  for (auto y = box.y1; y < box.y2; ++y) {
    const auto from = static_cast<std::size_t>((y * side + box.x1) * channels),
               count = static_cast<std::size_t>((box.x2 - box.x1) * channels);
    std::copy_n(partner.begin() + static_cast<std::ptrdiff_t>(from), count,
                mixed.begin() + static_cast<std::ptrdiff_t>(from));
  }
  const double share = 1.0 - static_cast<double>(box.area()) / static_cast<double>(side * side);
  return {share, 1.0 - share};
}

}  // namespace deda::mixing
