// What RandAugment, TrivialAugmentWide and ColorJitter draw: torchvision's distributions from counted draws.
#include "augment/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "augment/golden_pictures.h"

namespace deda::augment {
namespace {

constexpr std::uint64_t seed = 5;
constexpr int side = 448;

AugmentConfig with(Policy policy) {
  AugmentConfig config;
  config.policy = policy;
  return config;
}

TEST(Policy, NoneDrawsNothing) {
  EXPECT_EQ(decide_policy({}, seed, 1, 1, side, side).count, 0);
}

TEST(Policy, RandAugmentDrawsTwoOfFourteenWithEqualChances) {
  const AugmentConfig config = with(Policy::randaugment);
  std::array<int, 14> first{}, second{};
  int negative = 0, with_sign = 0, equal = 0;
  constexpr int samples = 28000;
  for (std::uint64_t sample = 0; sample < samples; ++sample) {
    const PolicyDraws draws = decide_policy(config, seed, 3, sample, side, side);
    ASSERT_EQ(draws.count, 2);
    ++first[static_cast<std::size_t>(draws.operations[0])];
    ++second[static_cast<std::size_t>(draws.operations[1])];
    equal += draws.operations[0] == draws.operations[1];
    for (const std::size_t k : {0u, 1u}) {
      const float size = magnitude_of(draws.operations[k], MagnitudeRange::randaugment, 9, side, side);
      EXPECT_EQ(std::abs(draws.magnitudes[k]), size);
      if (!has_sign(draws.operations[k])) {
        EXPECT_EQ(draws.magnitudes[k], size);
        continue;
      }
      ++with_sign;
      negative += draws.magnitudes[k] < 0;
    }
  }
  // 2,000 expected; four standard deviations are 4 sqrt(28000 / 14 * 13 / 14) = 172.
  for (const auto& counts : {first, second}) {
    for (const int count : counts) EXPECT_NEAR(count, samples / 14, 175);
  }
  EXPECT_NEAR(equal, samples / 14, 175) << "with replacement";
  EXPECT_NEAR(negative, with_sign / 2, 4 * std::sqrt(with_sign) / 2);
}

// The values that torchvision's defaults give at 448 pixels (Cubuk et al.; magnitude 9 of 31 bins).
TEST(Policy, RandAugmentsDefaultMagnitudes) {
  const auto at_nine = [](Operation operation) {
    return magnitude_of(operation, MagnitudeRange::randaugment, 9, side, side);
  };
  EXPECT_NEAR(at_nine(Operation::shear_x), 0.09, 1e-6);
  EXPECT_EQ(std::trunc(at_nine(Operation::translate_x)), 60) << "cut to whole pixels";
  EXPECT_EQ(at_nine(Operation::rotate), 9);
  EXPECT_NEAR(at_nine(Operation::sharpness), 0.27, 1e-6);
  EXPECT_EQ(at_nine(Operation::posterize), 7);
  EXPECT_EQ(at_nine(Operation::solarize), 178.5);
}

TEST(Policy, IsAPureFunctionAndChangesWithEpochAndSample) {
  for (const Policy policy : {Policy::randaugment, Policy::trivialaugment, Policy::color_jitter}) {
    std::set<std::pair<int, float>> seen;
    for (std::uint32_t epoch = 1; epoch <= 20; ++epoch) {
      for (std::uint64_t sample = 0; sample < 20; ++sample) {
        const PolicyDraws once = decide_policy(with(policy), seed, epoch, sample, side, side),
                          again = decide_policy(with(policy), seed, epoch, sample, side, side);
        EXPECT_EQ(once.operations, again.operations);
        EXPECT_EQ(once.magnitudes, again.magnitudes);
        seen.insert({static_cast<int>(once.operations[0]), once.magnitudes[0]});
      }
    }
    EXPECT_GT(seen.size(), 15u);
  }
}

// A third operation does not move the first two.
TEST(Policy, MoreOperationsKeepTheFirstOnes) {
  AugmentConfig three = with(Policy::randaugment);
  three.randaugment_operations = 3;
  for (std::uint64_t sample = 0; sample < 50; ++sample) {
    const PolicyDraws two = decide_policy(with(Policy::randaugment), seed, 1, sample, side, side),
                      more = decide_policy(three, seed, 1, sample, side, side);
    ASSERT_EQ(more.count, 3);
    for (const std::size_t k : {0u, 1u}) {
      EXPECT_EQ(two.operations[k], more.operations[k]);
      EXPECT_EQ(two.magnitudes[k], more.magnitudes[k]);
    }
  }
}

TEST(Policy, TrivialAugmentDrawsOneOperationAtAnyOfItsMagnitudes) {
  std::set<float> rotations;
  for (std::uint64_t sample = 0; sample < 20000; ++sample) {
    const PolicyDraws draws = decide_policy(with(Policy::trivialaugment), seed, 1, sample, side, side);
    ASSERT_EQ(draws.count, 1);
    if (draws.operations[0] == Operation::rotate) rotations.insert(std::abs(draws.magnitudes[0]));
  }
  EXPECT_EQ(rotations.size(), 31u);
  EXPECT_EQ(*rotations.rbegin(), 135.0f);
}

TEST(Policy, ColorJitterDrawsAllFourInAnyOrderWithinItsRanges) {
  AugmentConfig config = with(Policy::color_jitter);
  config.jitter_brightness = 0.25;
  config.jitter_contrast = 1.5;
  std::set<std::array<Operation, 4>> orders;
  float darkest = 0, least_contrast = 0, most_contrast = 0;
  for (std::uint64_t sample = 0; sample < 2000; ++sample) {
    const PolicyDraws draws = decide_policy(config, seed, 1, sample, side, side);
    ASSERT_EQ(draws.count, 4);
    orders.insert({draws.operations[0], draws.operations[1], draws.operations[2], draws.operations[3]});
    for (std::size_t k = 0; k < 4; ++k) {
      const float m = draws.magnitudes[k];
      if (draws.operations[k] == Operation::brightness) darkest = std::min(darkest, m);
      if (draws.operations[k] == Operation::contrast) {
        least_contrast = std::min(least_contrast, m);
        most_contrast = std::max(most_contrast, m);
      }
      if (draws.operations[k] == Operation::hue) {
        EXPECT_LE(std::abs(m), 0.1f);
      }
    }
  }
  EXPECT_EQ(orders.size(), 24u);
  EXPECT_NEAR(darkest, -0.25, 0.01);
  EXPECT_GE(least_contrast, -1.0f) << "a factor is not below 0";
  EXPECT_NEAR(most_contrast, 1.5, 0.02);
  config.jitter_hue = 0;
  EXPECT_EQ(decide_policy(config, seed, 1, 0, side, side).count, 3) << "what has no range is left out";
}

TEST(Policy, AppliesItsOperationsInOrder) {
  PolicyDraws draws;
  draws.count = 2;
  draws.operations = {Operation::rotate, Operation::solarize};
  draws.magnitudes = {9.0f, 100.0f};
  OperationScratch scratch;
  io::Image once = test::golden_picture(0, 40, 40), again = once;
  apply_policy(draws, 40, 40, once.pixels.data(), scratch);
  apply(Operation::rotate, 9.0f, 40, 40, again.pixels.data(), scratch);
  apply(Operation::solarize, 100.0f, 40, 40, again.pixels.data(), scratch);
  EXPECT_EQ(once.pixels, again.pixels);
}

}  // namespace
}  // namespace deda::augment
