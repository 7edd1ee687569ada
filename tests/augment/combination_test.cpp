// The draws of De-DA's online combination: shares, purity, and the rules for classes (paper section 3.3).
#include "augment/combination.h"

#include <gtest/gtest.h>

#include "augment/made_up_parts.h"

namespace deda::augment {
namespace {

constexpr std::uint64_t seed = 11;

// The combination of a sample; of a natural one, that before any decision.
CombinationDraws combined(const AugmentConfig& config, const PartPool& pool, std::uint32_t epoch,
                          std::uint64_t item) {
  const Draws draws = decide(config, pool, seed, epoch, item);
  const auto* made = combination_of(draws);
  return made != nullptr ? *made : CombinationDraws{};
}
bool is_combined(const AugmentConfig& config, const PartPool& pool, std::uint32_t epoch, std::uint64_t item) {
  return combination_of(decide(config, pool, seed, epoch, item)) != nullptr;
}

struct Shares {
  double augmented = 0, mixed = 0, synthetic_main = 0, any_synthetic = 0;
};

Shares measure(const AugmentConfig& config, const PartPool& pool, int epochs) {
  Shares shares;
  double count = 0;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    for (std::size_t item = 0; item < pool.size(); ++item, ++count) {
      const Draws draws = decide(config, pool, seed, static_cast<std::uint32_t>(epoch), item);
      const auto* made = combination_of(draws);
      if (made == nullptr) continue;
      ++shares.augmented;
      shares.mixed += made->mix >= 0;
      shares.synthetic_main += made->version > 0;
      shares.any_synthetic += made->version > 0 || made->mix_version > 0;
    }
  }
  shares.augmented /= count;
  shares.mixed /= count;
  shares.synthetic_main /= count;
  shares.any_synthetic /= count;
  return shares;
}

TEST(Combination, HasTheSharesThatTheProbabilitiesImply) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(200, 4, 3);
  const Shares shares = measure({}, pool, 200);
  // 40,000 samples: four standard errors of a share p are 4 sqrt(p (1-p) / 40000), 0.01 at most.
  EXPECT_NEAR(shares.augmented, 0.5, 0.01);
  EXPECT_NEAR(shares.mixed, 0.25, 0.009);
  EXPECT_NEAR(shares.synthetic_main, 0.125, 0.007);
  EXPECT_NEAR(shares.any_synthetic, 0.125 + 0.25 * 0.75 * 0.25, 0.008);
}

TEST(Combination, IsAPureFunctionOfSeedEpochAndSample) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(60, 3, 2);
  int differing = 0;
  for (std::uint64_t item = 0; item < 60; ++item) {
    const auto once = combined({}, pool, 5, item), again = combined({}, pool, 5, item),
               other = combined({}, pool, 6, item);
    EXPECT_EQ(once.cip, again.cip);
    EXPECT_EQ(once.mix, again.mix);
    EXPECT_EQ(once.u1, again.u1);
    EXPECT_EQ(once.angle1, again.angle1);
    differing += once.cip != other.cip;
  }
  EXPECT_GT(differing, 20);
}

TEST(Combination, OptionsDoNotMoveOtherDraws) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(60, 3, 2);
  AugmentConfig without_mixing;
  without_mixing.p_mix = 0;
  for (std::uint64_t item = 0; item < 60; ++item) {
    const auto with = combined({}, pool, 1, item), without = combined(without_mixing, pool, 1, item);
    EXPECT_EQ(is_combined({}, pool, 1, item), is_combined(without_mixing, pool, 1, item));
    EXPECT_EQ(with.version, without.version);
    EXPECT_EQ(with.flip1, without.flip1);
    EXPECT_EQ(with.angle1, without.angle1);
  }
}

TEST(Combination, TakesBackgroundsOfNeitherPastedClassAndSecondObjectsOfAnotherClass) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(60, 3);
  std::vector<int> donors(60);
  for (std::uint32_t epoch = 1; epoch < 200; ++epoch) {
    for (std::uint64_t item = 0; item < 60; ++item) {
      if (!is_combined({}, pool, epoch, item)) continue;
      const auto made = combined({}, pool, epoch, item);
      ++donors[static_cast<std::size_t>(made.cip)];
      EXPECT_NE(made.cip % 3, static_cast<std::int64_t>(item) % 3);
      if (made.mix < 0) continue;
      EXPECT_NE(made.mix % 3, static_cast<std::int64_t>(item) % 3);
      EXPECT_NE(made.cip % 3, made.mix % 3);
    }
  }
  for (const int count : donors)
    EXPECT_NEAR(count, 199 * 60 * 0.5 / 60, 45) << "every picture is a donor equally often";
}

TEST(Combination, FallsBackWhereTooFewClassesAreLeft) {
  test::MadeUpParts parts;
  const PartPool two = parts.pool(10, 2), one = parts.pool(5, 1), single = parts.pool(1, 1);
  AugmentConfig always;
  always.p_aug = always.p_mix = 1;
  for (std::uint64_t item = 0; item < 10; ++item) {
    EXPECT_TRUE(is_combined(always, two, 1, item));
    const auto made = combined(always, two, 1, item);
    EXPECT_NE(made.mix % 2, static_cast<std::int64_t>(item) % 2);
    EXPECT_NE(made.cip % 2, static_cast<std::int64_t>(item) % 2)
        << "two classes: the background is kept off the anchor's class";
  }
  for (std::uint64_t item = 0; item < 5; ++item) {
    EXPECT_TRUE(is_combined(always, one, 1, item));
    const auto made = combined(always, one, 1, item);
    EXPECT_EQ(made.mix, -1) << "one class: there is no second object of another class";
    EXPECT_NE(made.cip, static_cast<std::int64_t>(item)) << "any other picture's background";
  }
  EXPECT_EQ(combined(always, single, 1, 0).cip, 0);
}

TEST(Combination, LeavesUnusableAnchorsNatural) {
  test::MadeUpParts parts;
  std::vector<PartPool::ItemParts> items(4);
  for (int item = 1; item < 4; ++item)
    items[static_cast<std::size_t>(item)] = {{parts.disc(8, 8, 1, 2, 3)}, parts.flat(8, 8, 9)};
  const PartPool pool({0, 0, 1, 2}, std::move(items));
  AugmentConfig always;
  always.p_aug = 1;
  EXPECT_FALSE(is_combined(always, pool, 1, 0));
  for (std::uint64_t item = 1; item < 4; ++item) {
    for (std::uint32_t epoch = 1; epoch < 50; ++epoch) {
      EXPECT_TRUE(is_combined(always, pool, epoch, item));
      const auto made = combined(always, pool, epoch, item);
      EXPECT_NE(made.cip, 0);
      EXPECT_NE(made.mix, 0);
    }
  }
}

TEST(Combination, OwnAndAnyBackgroundsAreChoices) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(30, 3);
  AugmentConfig own, any;
  own.p_aug = any.p_aug = 1;
  own.cip = CipChoice::own;
  any.cip = CipChoice::any;
  int same_class = 0;
  for (std::uint64_t item = 0; item < 30; ++item) {
    EXPECT_EQ(combined(own, pool, 1, item).cip, static_cast<std::int64_t>(item));
    for (std::uint32_t epoch = 1; epoch < 20; ++epoch)
      same_class += combined(any, pool, epoch, item).cip % 3 == static_cast<std::int64_t>(item) % 3;
  }
  EXPECT_GT(same_class, 100);
}

// Rows b and c of the paper's figure 9: a synthetic CDP with probability 0.25, else the untouched picture.
TEST(Combination, LeavesPicturesWithARealCdpUntouched) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(200, 4, 3);
  AugmentConfig config;
  config.p_aug = 1;
  config.p_mix = 0;
  config.real_cdps = RealCdps::untouched;
  config.cip = CipChoice::own;
  const Shares shares = measure(config, pool, 200);
  EXPECT_NEAR(shares.augmented, 0.25, 0.009);
  EXPECT_EQ(shares.synthetic_main, shares.augmented);
  EXPECT_EQ(combined(config, pool, 1, 0).mix, -1);
  // Which ones are synthetic, and which version, is what pasting all of them draws.
  AugmentConfig pasted = config;
  pasted.real_cdps = RealCdps::pasted;
  for (std::uint64_t item = 0; item < 200; ++item) {
    const auto left = combined(config, pool, 1, item), all = combined(pasted, pool, 1, item);
    EXPECT_EQ(is_combined(config, pool, 1, item), all.version > 0);
    if (left.version > 0) {
      EXPECT_EQ(left.version, all.version);
    }
  }
}

TEST(Combination, AnchorsCanBeAnyPictures) {
  test::MadeUpParts parts;
  std::vector<PartPool::ItemParts> items(6);
  for (int item = 1; item < 6; ++item)
    items[static_cast<std::size_t>(item)] = {{parts.disc(8, 8, 1, 2, 3)}, parts.flat(8, 8, 9)};
  const PartPool pool({0, 0, 1, 1, 2, 2}, std::move(items));
  AugmentConfig config;
  config.anchor = AnchorChoice::random;
  config.p_aug = 1;
  std::vector<int> anchors(6);
  for (std::uint32_t epoch = 1; epoch <= 1000; ++epoch) {
    for (std::uint64_t item = 0; item < 6; ++item) {
      const Draws draws = decide(config, pool, seed, epoch, item);
      ASSERT_NE(combination_of(draws), nullptr) << "one without parts is replaced as well";
      EXPECT_EQ(draws.index, static_cast<std::int64_t>(item));
      const auto& made = *combination_of(draws);
      ++anchors[static_cast<std::size_t>(made.anchor)];
      EXPECT_NE(pool.class_of(static_cast<std::size_t>(made.anchor)),
                pool.class_of(static_cast<std::size_t>(made.cip)));
    }
  }
  EXPECT_EQ(anchors[0], 0);
  for (std::size_t item = 1; item < 6; ++item) EXPECT_NEAR(anchors[item], 1200, 4 * 31);
  config.anchor = AnchorChoice::sample;
  for (std::uint64_t item = 1; item < 6; ++item)
    EXPECT_EQ(combined(config, pool, 1, item).anchor, static_cast<std::int64_t>(item));
}

TEST(Combination, SecondObjectsCanBeOfAnyClass) {
  test::MadeUpParts parts;
  const PartPool pool = parts.pool(12, 3), single = parts.pool(1, 1);
  AugmentConfig config;
  config.p_aug = config.p_mix = 1;
  config.mix = MixChoice::any;
  std::vector<int> chosen(12);
  for (std::uint32_t epoch = 1; epoch <= 2000; ++epoch)
    ++chosen[static_cast<std::size_t>(combined(config, pool, epoch, 5).mix)];
  EXPECT_EQ(chosen[5], 0) << "never the first one itself";
  for (std::size_t item = 0; item < 12; ++item) {
    if (item != 5) {
      EXPECT_NEAR(chosen[item], 2000 / 11, 4 * 13);
    }
  }
  EXPECT_EQ(combined(config, single, 1, 0).mix, -1);
}

TEST(Combination, InPlaceTheFirstObjectIsNeitherTurnedNorScaledAndOtherDrawsStay) {
  test::MadeUpParts parts;
  parts.lies = {0.2, 0.3, 0.6, 0.8};
  const PartPool pool = parts.pool(60, 3, 2);
  AugmentConfig random, in_place;
  random.p_aug = in_place.p_aug = 1;
  in_place.placement = Placement::in_place;
  for (std::uint64_t item = 0; item < 60; ++item) {
    const auto here = combined(in_place, pool, 1, item), anywhere = combined(random, pool, 1, item);
    EXPECT_EQ(here.angle1, 0);
    EXPECT_FALSE(here.flip1);
    EXPECT_EQ(here.u1, 0) << "set where pixels are looked at";
    EXPECT_EQ(here.cip, anywhere.cip);
    EXPECT_EQ(here.version, anywhere.version);
    EXPECT_EQ(here.mix, anywhere.mix);
    EXPECT_EQ(here.u2, anywhere.u2);
    EXPECT_EQ(here.angle2, anywhere.angle2);
  }
  parts.lies = {};
  EXPECT_FALSE(is_combined(in_place, parts.pool(6, 3), 1, 0)) << "a place that nobody knows";
}

}  // namespace
}  // namespace deda::augment
