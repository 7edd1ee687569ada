// The random choices of tuning, each a pure function of (seed, step, position in the global batch): the same
// on any rank and after any restart. No Torch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"

namespace deda::diffusion {

struct TuningDrawRules {
  std::uint64_t seed = 0;
  std::int64_t batch = 1;     // pictures per step over all ranks
  std::int64_t pictures = 1;  // of the source
  std::int64_t timesteps = 1000;
  double flip = 0.5;
};

struct TuningDraw {
  std::size_t picture = 0;
  bool mirrored = false;
  std::uint32_t place = 0;  // where a random square is cut, as a share of 2^32 (tuning_square)
  std::int64_t timestep = 0;
};

// The draws of consecutive steps; keeps the order of the pass that it is in.
class TuningDraws {
 public:
  explicit TuningDraws(const TuningDrawRules& rules) : rules_{rules} {}
  // [batch]. Every picture comes once before any comes again, in a new order for each pass; a step may reach
  // over the end of a pass. Timesteps are uniform in 0..timesteps - 1.
  std::vector<TuningDraw> of_step(std::int64_t step);
  // Noise of the autoencoder's posterior, and that which the UNet is to find.
  RandomStream posterior_noise(std::int64_t step, std::int64_t position) const;
  RandomStream noise(std::int64_t step, std::int64_t position) const;

 private:
  const TuningDrawRules rules_;
  std::vector<std::uint32_t> order_;
  std::int64_t pass_ = -1;  // of order_
};

}  // namespace deda::diffusion
