#include "diffusion/inversion/inversion_draws.h"

#include <algorithm>

namespace deda::diffusion {
namespace {

// What a stream is for, in the bits of its sample number between class and sample. Part of results: only
// append.
enum class Use : std::uint64_t {
  order = 0,
  choices = 1,
  noise = 2,
  held_out = 3,
  held_out_timestep = 4,
  held_out_noise = 5,
  posterior = 6
};

// 2^28 samples per use, step and class, 16 uses.
RandomStream stream(std::uint64_t seed, Use use, std::size_t class_id, std::int64_t step,
                    std::uint64_t sample) {
  constexpr int class_shift = 32, use_shift = 28;
  return {seed, Purpose::textual_inversion, static_cast<std::uint32_t>(step),
          static_cast<std::uint64_t>(class_id) << class_shift | static_cast<std::uint64_t>(use) << use_shift |
              sample};
}

}  // namespace

std::vector<SampleDraw> draw_samples(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                                     std::size_t items) {
  std::vector<SampleDraw> samples;
  std::vector<std::uint32_t> order;
  std::int64_t pass_of_order = -1;
  const auto count = static_cast<std::int64_t>(items);
  for (std::int64_t i = 0; i < rules.batch; ++i) {
    const std::int64_t position = step * rules.batch + i, pass = position / count;
    if (pass != pass_of_order) {
      order =
          permutation(static_cast<std::uint32_t>(items), stream(rules.seed, Use::order, class_id, pass, 0));
      pass_of_order = pass;
    }
    auto draws = stream(rules.seed, Use::choices, class_id, step, static_cast<std::uint64_t>(i));
    SampleDraw sample;
    sample.item = order[static_cast<std::size_t>(position % count)];
    sample.mirrored = draws.chance(rules.flip);
    sample.prompt = draws.below(static_cast<std::uint32_t>(rules.templates));
    sample.timestep = draws.below(static_cast<std::uint32_t>(rules.most_timestep + 1));
    samples.push_back(sample);
  }
  return samples;
}

RandomStream noise_stream(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                          std::int64_t sample) {
  return stream(rules.seed, Use::noise, class_id, step, static_cast<std::uint64_t>(sample));
}

RandomStream posterior_stream(const DrawRules& rules, std::size_t class_id, std::int64_t step,
                              std::int64_t sample) {
  return stream(rules.seed, Use::posterior, class_id, step, static_cast<std::uint64_t>(sample));
}

std::vector<std::size_t> draw_held_out(std::uint64_t seed, std::size_t class_id, std::size_t items,
                                       std::int64_t count) {
  const auto kept =
      std::min(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), items > 0 ? items - 1 : 0);
  const auto order =
      permutation(static_cast<std::uint32_t>(items), stream(seed, Use::held_out, class_id, 0, 0));
  std::vector<std::size_t> positions(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept));
  std::sort(positions.begin(), positions.end());
  return positions;
}

std::int64_t held_out_timestep(const DrawRules& rules, std::size_t class_id, std::size_t item,
                               std::int64_t draw) {
  return stream(rules.seed, Use::held_out_timestep, class_id, draw, item)
      .below(static_cast<std::uint32_t>(rules.most_timestep + 1));
}

RandomStream held_out_noise(const DrawRules& rules, std::size_t class_id, std::size_t item,
                            std::int64_t draw) {
  return stream(rules.seed, Use::held_out_noise, class_id, draw, item);
}

}  // namespace deda::diffusion
