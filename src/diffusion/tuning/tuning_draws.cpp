#include "diffusion/tuning/tuning_draws.h"

namespace deda::diffusion {
namespace {

// What a stream is for, in the bits of its sample number above the position. Part of results: only append.
enum class TuningUse : std::uint64_t { order = 0, choices = 1, posterior_noise = 2, noise = 3 };

RandomStream tuning_stream(std::uint64_t seed, TuningUse use, std::int64_t step, std::int64_t position) {
  constexpr int use_shift = 32;
  return {seed, Purpose::tuning, static_cast<std::uint32_t>(step),
          static_cast<std::uint64_t>(use) << use_shift | static_cast<std::uint64_t>(position)};
}

}  // namespace

std::vector<TuningDraw> TuningDraws::of_step(std::int64_t step) {
  std::vector<TuningDraw> draws;
  for (std::int64_t i = 0; i < rules_.batch; ++i) {
    const std::int64_t position = step * rules_.batch + i, pass = position / rules_.pictures;
    if (pass != pass_) {
      order_ = permutation(static_cast<std::uint32_t>(rules_.pictures),
                           tuning_stream(rules_.seed, TuningUse::order, pass, 0));
      pass_ = pass;
    }
    auto stream = tuning_stream(rules_.seed, TuningUse::choices, step, i);
    TuningDraw draw;
    draw.picture = order_[static_cast<std::size_t>(position % rules_.pictures)];
    draw.mirrored = stream.chance(rules_.flip);
    draw.place = stream.bits();
    draw.timestep = stream.below(static_cast<std::uint32_t>(rules_.timesteps));
    draws.push_back(draw);
  }
  return draws;
}

RandomStream TuningDraws::posterior_noise(std::int64_t step, std::int64_t position) const {
  return tuning_stream(rules_.seed, TuningUse::posterior_noise, step, position);
}

RandomStream TuningDraws::noise(std::int64_t step, std::int64_t position) const {
  return tuning_stream(rules_.seed, TuningUse::noise, step, position);
}

}  // namespace deda::diffusion
