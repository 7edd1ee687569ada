// The random choices of textual inversion, each a pure function of (seed, class, step, sample): the same on
// any rank, in any pack of classes, after any restart and in every try. No Torch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"

namespace deda::diffusion {

struct SampleDraw {
  std::size_t item = 0;  // position in the list of CDPs that are learnt from
  bool mirrored = false;
  std::size_t prompt = 0;  // position in the list of templates
  std::int64_t timestep = 0;
};

struct DrawRules {
  std::uint64_t seed = 0;
  std::int64_t batch = 1;
  std::size_t templates = 1;
  double flip = 0.5;
  std::int64_t most_timestep = 999;
};

// The samples of one step, [batch]. Every CDP comes once before any comes again: a new permutation for each
// pass over the class's `items`. Timesteps are uniform in 0..most_timestep (paper section 3.2.1).
std::vector<SampleDraw> draw_samples(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                                     std::size_t items);
// The noise of one sample.
RandomStream noise_stream(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                          std::int64_t sample);

// What a sample is drawn from its posterior with, where the source has posteriors.
RandomStream posterior_stream(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                              std::int64_t sample);

// Positions of the `count` CDPs out of `items` that are kept for measuring, ascending; at least one is left
// to learn from.
std::vector<std::size_t> draw_held_out(std::uint64_t seed, std::size_t class_id, std::size_t items,
                                       std::int64_t count);
// Draw number `draw` of one held-out CDP: a timestep of the same distribution, and its noise.
std::int64_t held_out_timestep(const DrawRules& rules, std::size_t class_id, std::size_t item,
                               std::int64_t draw);
RandomStream held_out_noise(const DrawRules& rules, std::size_t class_id, std::size_t item,
                            std::int64_t draw);

}  // namespace deda::diffusion
