// Batches: the same samples and bytes for any number of ranks and workers, every sample once, errors reach
// the caller.
#include "augment/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "augment/made_up_parts.h"
#include "augment/policy.h"
#include "core/error.h"
#include "io/pictures/image_codec.h"
#include "support/temporary_folder.h"

namespace deda::augment {
namespace {

// A dataset of small written pictures with parts of their own.
struct Fixture {
  test::TemporaryFolder folder;
  test::MadeUpParts parts;
  data::Dataset dataset;
  std::vector<std::size_t> training;
  AugmentConfig config;
  explicit Fixture(int items = 23) {
    dataset.root = folder.path();
    dataset.class_names = {"a", "b", "c"};
    for (int item = 0; item < items; ++item) {
      io::Image image(90, 110, 3);
      for (std::size_t i = 0; i < image.pixels.size(); ++i)
        image.pixels[i] = static_cast<std::uint8_t>(i * 13 + static_cast<std::size_t>(item) * 31);
      data::Item entry;
      entry.path = std::to_string(item) + ".png";
      entry.class_id = item % 3;
      io::write_image(folder.path() / entry.path, image);
      dataset.items.push_back(entry);
      training.push_back(static_cast<std::size_t>(item));
    }
    config.resize_shorter = 40;
    config.crop = 32;
  }
  TrainingSource source(std::uint64_t seed = 3) {
    return {dataset, training, parts.pool(static_cast<int>(training.size()), 3, 1), config, seed};
  }
};

using Samples = std::map<std::int64_t, std::pair<std::vector<std::uint8_t>, std::vector<float>>>;

// Everything that `ranks` ranks hand out in one epoch, by sample, and the order of samples per batch.
Samples collect(TrainingSource& source, int ranks, int workers,
                std::vector<std::vector<std::int64_t>>* batches = nullptr, std::int64_t first_batch = 0) {
  Samples samples;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto stream = open_training(source, 2, 4, rank, ranks, workers, 3, first_batch);
    for (std::size_t number = 0; const Batch* batch = stream->next(); ++number) {
      if (batches != nullptr && batches->size() <= number) batches->emplace_back();
      const std::size_t bytes = 32 * 32 * 3;
      for (std::size_t i = 0; i < static_cast<std::size_t>(batch->size); ++i) {
        EXPECT_TRUE(
            samples
                .try_emplace(
                    batch->draws[i].index,
                    std::vector<std::uint8_t>(
                        batch->pixels.begin() + static_cast<std::ptrdiff_t>(i * bytes),
                        batch->pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * bytes)),
                    std::vector<float>(batch->labels.begin() + static_cast<std::ptrdiff_t>(i * 3),
                                       batch->labels.begin() + static_cast<std::ptrdiff_t>(i * 3 + 3)))
                .second)
            << "handed out twice";
        if (batches != nullptr) (*batches)[number].push_back(batch->draws[i].index);
      }
    }
  }
  return samples;
}

TEST(Pipeline, GivesTheSameSamplesPixelsAndLabelsForAnyNumberOfRanksAndWorkers) {
  Fixture fixture;
  TrainingSource source = fixture.source();
  std::vector<std::vector<std::int64_t>> whole;
  const Samples expected = collect(source, 1, 1, &whole);
  ASSERT_EQ(expected.size(), 23u) << "every sample once";
  EXPECT_EQ(whole.size(), 6u);
  EXPECT_EQ(whole.back().size(), 3u) << "the last, smaller batch is kept";
  for (const int ranks : {1, 2, 3, 4, 7}) {
    for (const int workers : {1, 3}) {
      TrainingSource other = fixture.source();
      std::vector<std::vector<std::int64_t>> batches;
      EXPECT_EQ(collect(other, ranks, workers, &batches), expected)
          << ranks << " ranks, " << workers << " workers";
      ASSERT_EQ(batches.size(), whole.size());
      for (std::size_t i = 0; i < whole.size(); ++i) {
        auto a = batches[i], b = whole[i];
        std::sort(a.begin(), a.end());
        std::sort(b.begin(), b.end());
        EXPECT_EQ(a, b) << "the global batch " << i << " holds the same samples";
      }
    }
  }
}

TEST(Pipeline, SoftEdgesDependOnNeitherRanksNorWorkers) {
  Fixture fixture;
  TrainingSource hard = fixture.source();
  fixture.config.edge_sigma = 1.2;
  TrainingSource source = fixture.source();
  const Samples expected = collect(source, 1, 1);
  EXPECT_FALSE(expected == collect(hard, 1, 1));
  for (const int ranks : {1, 3}) {
    TrainingSource other = fixture.source();
    EXPECT_TRUE(collect(other, ranks, 3) == expected) << ranks << " ranks";
  }
}

// Operations on the finished sample: natural or composed, a function of the sample alone, and its draws say
// which.
TEST(Pipeline, PoliciesDependOnNeitherRanksNorWorkersAndReplayFromTheirDraws) {
  Fixture fixture;
  TrainingSource without = fixture.source();
  const Samples untouched = collect(without, 1, 1);
  for (const Policy policy : {Policy::randaugment, Policy::trivialaugment, Policy::color_jitter}) {
    fixture.config.policy = policy;
    TrainingSource source = fixture.source();
    const Samples expected = collect(source, 1, 1);
    TrainingSource other = fixture.source();
    EXPECT_TRUE(collect(other, 3, 3) == expected);
    ComposerScratch scratch;
    int natural = 0, composed = 0;
    for (std::int64_t sample = 0; sample < source.size(); ++sample) {
      std::vector<std::uint8_t> pixels(32 * 32 * 3);
      std::vector<float> label(3);
      Draws before, after;
      source.render(sample, 2, scratch, pixels.data(), label.data(), after);
      EXPECT_EQ(pixels, expected.at(sample).first);
      source.render_before_policy(sample, 2, scratch, pixels.data(), label.data(), before);
      EXPECT_EQ(before.policy.count, 0);
      EXPECT_EQ(pixels, untouched.at(sample).first) << "the policy moves no other draw";
      EXPECT_EQ(label, expected.at(sample).second);
      apply_policy(after.policy, 32, 32, pixels.data(), scratch.operations);
      EXPECT_EQ(pixels, expected.at(sample).first);
      if (pixels != untouched.at(sample).first) ++(combination_of(after) != nullptr ? composed : natural);
    }
    EXPECT_GT(natural, 3);
    EXPECT_GT(composed, 3);
  }
}

TEST(Pipeline, DoesNotDependOnTheCache) {
  Fixture fixture;
  TrainingSource cached = fixture.source();
  fixture.config.cache_megabytes = 0;
  TrainingSource uncached = fixture.source();
  EXPECT_EQ(collect(cached, 1, 2), collect(uncached, 1, 2));
}

// One rule for natural pictures, backgrounds and tests: square pictures with a black border, and tests
// without.
TEST(Pipeline, PadsAndSquaresWhatItTrainsOn) {
  Fixture fixture;
  fixture.config.resize = ResizeRule::square;
  fixture.config.pad = 5;
  fixture.config.flip = 0;
  const Geometry geometry = geometry_of(fixture.config);
  for (const Method method : {Method::plain, Method::deda}) {
    fixture.config.method = method;
    TrainingSource source = fixture.source();
    ComposerScratch scratch;
    std::vector<std::uint8_t> pixels(32 * 32 * 3), expected(pixels.size());
    std::vector<float> label(3);
    int over_the_border = 0, natural = 0;
    for (std::int64_t sample = 0; sample < source.size(); ++sample) {
      Draws draws;
      source.render(sample, 1, scratch, pixels.data(), label.data(), draws);
      EXPECT_LE(draws.crop_x, 40 + 2 * 5 - 32);
      EXPECT_LE(draws.crop_y, 40 + 2 * 5 - 32);
      over_the_border += draws.crop_x < 5 || draws.crop_x > 13;
      if (combination_of(draws) != nullptr) {
        // The corner of a background beyond its border is black where no CDP lies over it.
        const auto& box = combination_of(draws)->box1;
        if (draws.crop_x < 5 && box[0] > 0 && combination_of(draws)->mix < 0) {
          EXPECT_EQ(std::vector<std::uint8_t>(pixels.begin(), pixels.begin() + 3),
                    std::vector<std::uint8_t>(3, 0));
        }
        continue;
      }
      ++natural;
      const auto picture = io::read_image(fixture.folder.path() / (std::to_string(sample) + ".png")).image;
      crop_into(canvas_for_training(geometry, picture), draws.crop_x, draws.crop_y, 32, expected.data());
      EXPECT_EQ(pixels, expected) << sample;
    }
    EXPECT_GT(over_the_border, 5);
    EXPECT_GT(natural, 5);
  }
}

// The equalities that keys of results rely on (src/pipeline/settings.cpp): pixel for pixel and label for
// label.
TEST(Pipeline, SettingsWithoutEffectHaveNone) {
  Fixture fixture;
  const auto samples_with = [&](int synthetic, const auto& change) {
    AugmentConfig config = fixture.config;
    change(config);
    TrainingSource source{fixture.dataset, fixture.training,
                          fixture.parts.pool(static_cast<int>(fixture.training.size()), 3, synthetic), config,
                          3};
    return collect(source, 1, 2);
  };
  const auto nothing = [](AugmentConfig&) {};
  const auto plain = samples_with(1, [](AugmentConfig& c) { c.method = Method::plain; });
  EXPECT_TRUE(samples_with(1, [](AugmentConfig& c) { c.p_aug = 0; }) == plain)
      << "p_aug = 0 is plain training";
  const auto real = samples_with(0, nothing);
  EXPECT_TRUE(samples_with(2, [](AugmentConfig& c) { c.p_syn = 0; }) == real) << "p_syn = 0 needs no copies";
  EXPECT_TRUE(samples_with(0, [](AugmentConfig& c) { c.p_syn = 0; }) == real);
  EXPECT_FALSE(samples_with(2, nothing) == real);
  const auto native = samples_with(1, [](AugmentConfig& c) { c.scale = ScaleRule::native; });
  EXPECT_TRUE(samples_with(1, [](AugmentConfig& c) {
                c.scale = ScaleRule::native;
                c.scale_min = 0.1;
                c.scale_max = 0.2;
                c.mix_scale_min = 0.1;
                c.mix_scale_max = 0.2;
              }) == native);
  const auto unmixed = samples_with(1, [](AugmentConfig& c) { c.p_mix = 0; });
  EXPECT_TRUE(samples_with(1, [](AugmentConfig& c) {
                c.p_mix = 0;
                c.mix_scale_min = 0.1;
                c.mix_scale_max = 0.2;
                c.max_occlusion = 0;
                c.placement_tries = 1;
              }) == unmixed);
  EXPECT_TRUE(samples_with(1, [](AugmentConfig& c) {
                c.cache_megabytes = 0;
                c.ring_batches = 1;
              }) == samples_with(1, nothing));
}

TEST(Pipeline, ContinuesInTheMiddleOfAnEpoch) {
  Fixture fixture;
  TrainingSource source = fixture.source();
  std::vector<std::vector<std::int64_t>> whole, rest;
  collect(source, 1, 2, &whole);
  collect(source, 2, 2, &rest, 4);
  ASSERT_EQ(rest.size(), whole.size() - 4);
  std::sort(rest[0].begin(), rest[0].end());
  std::sort(whole[4].begin(), whole[4].end());
  EXPECT_EQ(rest[0], whole[4]);
}

TEST(Pipeline, LabelsSumToOneAndShufflesDifferByEpoch) {
  Fixture fixture;
  TrainingSource source = fixture.source();
  for (const auto& [index, sample] : collect(source, 1, 1))
    EXPECT_NEAR(sample.second[0] + sample.second[1] + sample.second[2], 1.0f, 1e-6f);
  EXPECT_NE(source.order(1), source.order(2));
}

TEST(Pipeline, HandsAWorkersErrorToTheCaller) {
  const auto stream =
      std::make_unique<ComposedStream>(Plan{{0, 1}, {2, 3}, {4, 5}, {6, 7}}, ComposedStream::Shape{4, 2}, 3,
                                       2, [](int, std::int64_t sample, std::uint8_t*, float*, Draws&) {
                                         if (sample == 5) throw DataError("cannot be read", "five.png");
                                       });
  EXPECT_THROW(
      {
        while (stream->next() != nullptr) {
        }
      },
      DataError);
}

TEST(Pipeline, StopsInTheMiddleWithoutHanging) {
  std::atomic<int> rendered{0};
  Plan plan(1000, std::vector<std::int64_t>{1, 2, 3});
  {
    ComposedStream stream(plan, {4, 2}, 2, 4,
                          [&](int, std::int64_t, std::uint8_t*, float*, Draws&) { ++rendered; });
    stream.next();
  }
  EXPECT_LE(rendered.load(), 3 * 5) << "workers run at most the ring ahead";
}

TEST(Pipeline, GivesEmptySharesWhereABatchHasFewerSamplesThanRanks) {
  Fixture fixture(5);
  TrainingSource source = fixture.source();
  const auto stream = open_training(source, 1, 4, 3, 4, 2, 3);  // the last of four ranks; batches of 4 and 1
  const Batch* batch = stream->next();
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->size, 1);
  batch = stream->next();
  ASSERT_NE(batch, nullptr);
  EXPECT_EQ(batch->size, 0);
  EXPECT_EQ(stream->next(), nullptr);
}

TEST(TestSource, ShowsEachPictureOnce) {
  Fixture fixture(9);
  TestSource source(fixture.dataset, fixture.training, fixture.config);
  std::vector<std::int64_t> seen;
  for (int rank = 0; rank < 2; ++rank) {
    const auto stream = open_test(source, 4, rank, 2, 2, 3);
    while (const Batch* batch = stream->next()) {
      for (const Draws& draws : batch->draws) seen.push_back(draws.index);
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8})) << "each test picture exactly once";
}

TEST(TestSource, KnowsNeitherBorderNorPolicy) {
  Fixture fixture(3);
  const auto pixels_of = [&] {
    TestSource source(fixture.dataset, fixture.training, fixture.config);
    std::vector<std::uint8_t> pixels(32 * 32 * 3);
    std::vector<float> label(3);
    Draws draws;
    source.render(1, pixels.data(), label.data(), draws);
    return pixels;
  };
  const auto shorter = pixels_of();
  fixture.config.policy = Policy::randaugment;
  fixture.config.pad = 7;
  EXPECT_EQ(pixels_of(), shorter);
  fixture.config.resize = ResizeRule::square;
  EXPECT_NE(pixels_of(), shorter);
}

}  // namespace
}  // namespace deda::augment
