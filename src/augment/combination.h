// The random decisions of one De-DA sample (paper section 3.3): which CDP, whether a second one, whose
// background, how large, where, how turned. Pure functions of (seed, epoch, sample): every decision has its
// own draw number, so that an option switched off does not move the others.
#pragma once

#include <cstdint>

#include "augment/config.h"
#include "augment/draws.h"
#include "augment/part_pool.h"

namespace deda::augment {

// Draw numbers within Purpose::combination. Part of results: append only.
enum class Decision : std::uint32_t {
  augmented = 0,
  synthetic = 1,
  version = 2,
  mix = 3,
  mix_item = 4,
  mix_synthetic = 5,
  mix_version = 6,
  cip = 7,
  crop_x = 8,
  crop_y = 9,
  flip = 10,
  size1 = 11,
  angle1 = 12,
  flip1 = 13,
  x1 = 14,
  y1 = 15,
  size2 = 16,
  angle2 = 17,
  flip2 = 18,
  x2 = 20,
  y2 = 21,  // try t: 20 + 2t, 21 + 2t, up to 50 tries
  anchor_label = 130,
  anchor = 200,
};

// Uniform draws by decision.
class Choices {
 public:
  Choices(std::uint64_t seed, std::uint32_t epoch, std::uint64_t sample);
  double uniform(Decision decision, std::uint32_t offset = 0) const;                        // [0, 1)
  std::uint32_t below(Decision decision, std::uint32_t n, std::uint32_t offset = 0) const;  // 0..n-1

 private:
  std::uint64_t seed_, sample_;
  std::uint32_t epoch_;
};

// Everything that is decided before pixels are looked at; boxes and areas come out of composition, and so
// does the size of a CDP in place. `sample` is the position in the training list. A sample that stays a
// natural picture has no combination: nothing is set but index, epoch.
Draws decide(const AugmentConfig& config, const PartPool& pool, std::uint64_t seed, std::uint32_t epoch,
             std::uint64_t sample);

}  // namespace deda::augment
