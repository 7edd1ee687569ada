#include "augment/policy.h"

#include <algorithm>

#include "core/random.h"

namespace deda::augment {

namespace {

// Draw numbers within Purpose::rand_augment. Part of results: append only. Operation k of RandAugment and
// TrivialAugmentWide takes those of 0..2 + 4k.
enum class PolicyDraw : std::uint32_t {
  operation = 0,
  sign = 1,
  bin = 2,
  jitter_order = 64,
  jitter_size = 80
};
constexpr std::uint32_t draws_an_operation = 4;

class PolicyChoices {
 public:
  PolicyChoices(std::uint64_t seed, std::uint32_t epoch, std::uint64_t sample)
      : stream_{seed, Purpose::rand_augment, epoch, sample} {}
  double uniform(PolicyDraw draw, std::uint32_t offset) const {
    return static_cast<double>(stream_.bits_at(static_cast<std::uint32_t>(draw) + offset) >> 8) * 0x1.0p-24;
  }
  std::uint32_t below(PolicyDraw draw, std::uint32_t n, std::uint32_t offset) const {
    return static_cast<std::uint32_t>(
        (std::uint64_t{stream_.bits_at(static_cast<std::uint32_t>(draw) + offset)} * n) >> 32);
  }

 private:
  RandomStream stream_;
};

// One of the fourteen operations, at a fixed bin or, with a negative one, at one that is drawn.
void add_operation(const PolicyChoices& choices, MagnitudeRange range, int bin, int height, int width,
                   PolicyDraws& draws) {
  const auto offset = draws_an_operation * static_cast<std::uint32_t>(draws.count);
  const auto operation =
      static_cast<Operation>(choices.below(PolicyDraw::operation, operations_to_draw, offset));
  if (bin < 0) bin = static_cast<int>(choices.below(PolicyDraw::bin, magnitude_bins, offset));
  float magnitude = magnitude_of(operation, range, bin, height, width);
  if (has_sign(operation) && choices.below(PolicyDraw::sign, 2, offset) == 1) magnitude = -magnitude;
  draws.operations[static_cast<std::size_t>(draws.count)] = operation;
  draws.magnitudes[static_cast<std::size_t>(draws.count)] = magnitude;
  ++draws.count;
}

// ColorJitter: all four in random order, each by a uniform amount, factors not below 0.
PolicyDraws jitter(const AugmentConfig& config, const PolicyChoices& choices) {
  struct Jitter {
    Operation operation;
    double most, least;
  };
  const std::array<Jitter, 4> kinds{{{Operation::brightness, config.jitter_brightness, -1},
                                     {Operation::contrast, config.jitter_contrast, -1},
                                     {Operation::color, config.jitter_saturation, -1},
                                     {Operation::hue, config.jitter_hue, -0.5}}};
  std::array<std::size_t, 4> order{0, 1, 2, 3};
  for (std::uint32_t i = 4; i > 1; --i)
    std::swap(order[i - 1], order[choices.below(PolicyDraw::jitter_order, i, i)]);
  PolicyDraws draws;
  for (const std::size_t kind : order) {
    const auto& [operation, most, least] = kinds[kind];
    if (most == 0) continue;
    const double low = std::max(least, -most);
    draws.operations[static_cast<std::size_t>(draws.count)] = operation;
    draws.magnitudes[static_cast<std::size_t>(draws.count)] = static_cast<float>(
        low + (most - low) * choices.uniform(PolicyDraw::jitter_size, static_cast<std::uint32_t>(kind)));
    ++draws.count;
  }
  return draws;
}

}  // namespace

std::string_view name_of(Policy policy) {
  constexpr std::array<std::string_view, 4> names{"none", "randaugment", "trivialaugment", "color_jitter"};
  return names[static_cast<std::size_t>(policy)];
}

PolicyDraws decide_policy(const AugmentConfig& config, std::uint64_t seed, std::uint32_t epoch,
                          std::uint64_t sample, int height, int width) {
  const PolicyChoices choices{seed, epoch, sample};
  PolicyDraws draws;
  switch (config.policy) {
    case Policy::none:
      break;
    case Policy::randaugment:
      for (std::int64_t i = 0; i < config.randaugment_operations; ++i)
        add_operation(choices, MagnitudeRange::randaugment, static_cast<int>(config.randaugment_magnitude),
                      height, width, draws);
      break;
    case Policy::trivialaugment:
      add_operation(choices, MagnitudeRange::trivialaugment, -1, height, width, draws);
      break;
    case Policy::color_jitter:
      draws = jitter(config, choices);
      break;
  }
  draws.policy = config.policy;
  return draws;
}

void apply_policy(const PolicyDraws& draws, int height, int width, std::uint8_t* pixels,
                  OperationScratch& scratch) {
  for (std::int32_t i = 0; i < draws.count; ++i) {
    const auto k = static_cast<std::size_t>(i);
    apply(draws.operations[k], draws.magnitudes[k], height, width, pixels, scratch);
  }
}

}  // namespace deda::augment
