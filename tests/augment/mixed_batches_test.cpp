// Batches of image-mixing methods: shares of any number of ranks are those of one, mixed from what plain
// batches hold, and those that are mixed beside the network bring all that is needed there.
#include "augment/mixed_batches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "augment/made_up_parts.h"
#include "core/error.h"
#include "io/pictures/image_codec.h"
#include "support/temporary_folder.h"

namespace deda::augment {
namespace {

using testing::IsEmpty;

constexpr std::int64_t side = 24, global_batch = 4;
constexpr std::size_t classes = 3, bytes = side * side * 3;
constexpr std::uint32_t epoch = 2;
constexpr std::uint64_t seed = 3;
constexpr int workers = 3, ring_batches = 2;
// Five batches of four and one of a single picture, which is fewer than ranks.
constexpr int items = 21;
constexpr std::size_t batches = 6;

// Small written pictures with parts of their own.
struct Fixture {
  test::TemporaryFolder folder;
  test::MadeUpParts parts;
  data::Dataset dataset;
  std::vector<std::size_t> training;
  AugmentConfig config;

  Fixture() {
    dataset.root = folder.path();
    dataset.class_names = {"a", "b", "c"};
    for (int item = 0; item < items; ++item) {
      io::Image image(40, 44, 3);
      for (std::size_t i = 0; i < image.pixels.size(); ++i)
        image.pixels[i] = static_cast<std::uint8_t>(i * 13 + static_cast<std::size_t>(item) * 31);
      data::Item entry;
      entry.path = std::to_string(item) + ".png";
      entry.class_id = item % static_cast<int>(classes);
      io::write_image(folder.path() / entry.path, image);
      dataset.items.push_back(entry);
      training.push_back(static_cast<std::size_t>(item));
    }
    config.method = Method::plain;
    config.resize_shorter = 30;
    config.crop = side;
  }
  // Settings of the method that is then the chosen one.
  mixing::Settings& choose(std::string_view name) {
    auto& methods = config.mixing.methods;
    const auto found = std::find_if(methods.begin(), methods.end(), [&](const mixing::Settings& each) {
      return each.method().facts().name == name;
    });
    if (found == methods.end()) throw std::logic_error("no such method");
    config.mixing.chosen = static_cast<int>(found - methods.begin());
    return *found;
  }
  TrainingSource source() {
    return {dataset, training, parts.pool(items, static_cast<int>(classes), 1), config, seed};
  }
};

// One picture as it was handed out.
struct Picture {
  std::int64_t sample = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<float> label;
  bool operator==(const Picture&) const = default;
};

Picture picture_of(const Batch& batch, std::size_t row) {
  const auto pixels = batch.pixels.begin() + static_cast<std::ptrdiff_t>(row * bytes);
  const auto label = batch.labels.begin() + static_cast<std::ptrdiff_t>(row * classes);
  return {batch.draws[row].index, {pixels, pixels + bytes}, {label, label + classes}};
}

// By batch of the epoch and place in it.
using Pictures = std::map<std::pair<std::size_t, std::uint32_t>, Picture>;

// What `ranks` ranks hand out of an epoch from `first_batch` on, put together.
Pictures handed_out(Fixture& fixture, int ranks, std::int64_t first_batch = 0) {
  Pictures pictures;
  for (int rank = 0; rank < ranks; ++rank) {
    auto source = fixture.source();
    const auto stream =
        open_training(source, epoch, global_batch, rank, ranks, workers, ring_batches, first_batch);
    auto number = static_cast<std::size_t>(first_batch);
    for (; const Batch* batch = stream->next(); ++number) {
      EXPECT_EQ(batch->sources, 0);
      for (std::size_t row = 0; row < static_cast<std::size_t>(batch->size); ++row) {
        const auto place = static_cast<std::uint32_t>(row * static_cast<std::size_t>(ranks) +
                                                      static_cast<std::size_t>(rank));
        if (batch->mix) {
          EXPECT_EQ(batch->mix->places.at(row), place);
        }
        pictures.emplace(std::pair{number, place}, picture_of(*batch, row));
      }
    }
    EXPECT_EQ(number, batches);
  }
  return pictures;
}

// The same without a method.
Pictures composed(Fixture& fixture) {
  const int chosen = std::exchange(fixture.config.mixing.chosen, -1);
  auto pictures = handed_out(fixture, 1);
  fixture.config.mixing.chosen = chosen;
  return pictures;
}

constexpr auto pixel_methods = {"mixup", "cutmix", "saliencymix"};

TEST(MixedBatches, AreTheSameBytesForAnyNumberOfRanks) {
  for (const bool on_deda : {false, true}) {
    for (const auto* name : pixel_methods) {
      for (const double probability : {0.5, 1.0}) {
        Fixture fixture;
        fixture.config.method = on_deda ? Method::deda : Method::plain;
        fixture.config.mixing.mixed = on_deda ? 1 : 0;
        fixture.choose(name).set("mix_probability", probability);
        const auto expected = handed_out(fixture, 1);
        ASSERT_EQ(expected.size(), static_cast<std::size_t>(items));
        for (const int ranks : {2, 3, 4})
          EXPECT_TRUE(handed_out(fixture, ranks) == expected) << name << ", " << ranks << " ranks";
      }
    }
  }
}

TEST(MixedBatches, AreThoseOfTheEpochWhenContinuedInTheMiddleOfIt) {
  for (const auto* name : pixel_methods) {
    Fixture fixture;
    fixture.choose(name).set("mix_probability", 0.5);
    auto expected = handed_out(fixture, 1);
    std::erase_if(expected, [](const auto& each) { return each.first.first < 3; });
    ASSERT_FALSE(expected.empty());
    EXPECT_TRUE(handed_out(fixture, 1, 3) == expected) << name;
    EXPECT_TRUE(handed_out(fixture, 3, 3) == expected) << name;
  }
}

TEST(MixedBatches, AreMixedFromWhatPlainBatchesHold) {
  for (const bool on_deda : {false, true}) {
    for (const auto* name : pixel_methods) {
      Fixture fixture;
      fixture.config.method = on_deda ? Method::deda : Method::plain;
      fixture.config.mixing.mixed = on_deda ? 1 : 0;
      auto& settings = fixture.choose(name);
      settings.set("mix_probability", 0.5);
      const auto before = composed(fixture);
      const auto after = handed_out(fixture, 2);
      const auto& method = settings.method();
      const auto scratch = method.make_scratch();
      int applied = 0, changed = 0;
      for (std::size_t number = 0; number < batches; ++number) {
        const std::int64_t size = number + 1 < batches ? global_batch : 1;
        auto plan = method.plan(settings, {seed, epoch, number}, size, side);
        if (!plan.applied) {
          for (std::uint32_t place = 0; place < size; ++place)
            EXPECT_TRUE(after.at({number, place}) == before.at({number, place})) << name;
          continue;
        }
        ++applied;
        std::vector<mixing::Pixels> looked_at;
        for (const auto place : method.looked_at(plan))
          looked_at.push_back(before.at({number, place}).pixels);
        method.look(settings, looked_at, side, plan, scratch.get());
        for (std::uint32_t place = 0; place < size; ++place) {
          const auto &own = before.at({number, place}), &partner = before.at({number, plan.partner[place]});
          Picture expected{own.sample, std::vector<std::uint8_t>(bytes), std::vector<float>(classes)};
          const auto weights = method.mix(settings, plan, side, own.pixels, partner.pixels, expected.pixels);
          mixing::mix_labels(weights, own.label.data(), partner.label.data(), classes, expected.label.data());
          EXPECT_TRUE(after.at({number, place}) == expected) << name << " " << number << " " << place;
          changed += !(expected == own);
        }
      }
      EXPECT_GT(applied, 0);
      EXPECT_LT(applied, static_cast<int>(batches));
      EXPECT_GT(changed, 0) << name;
    }
  }
}

TEST(MixedBatches, WithProbabilityZeroArePlainOnes) {
  for (const auto* method : mixing::methods()) {
    Fixture fixture;
    auto& settings = fixture.choose(method->facts().name);
    if (!settings.has("mix_probability")) continue;
    settings.set("mix_probability", 0);
    EXPECT_TRUE(handed_out(fixture, 1) == composed(fixture)) << method->facts().name;
    EXPECT_TRUE(handed_out(fixture, 3) == composed(fixture)) << method->facts().name;
  }
}

TEST(MixedBatches, TellTheirPlanAndTheSamplesOfTheGlobalBatch) {
  Fixture fixture;
  auto& settings = fixture.choose("cutmix");
  auto source = fixture.source();
  const auto order = source.order(epoch);
  const auto stream = open_training(source, epoch, global_batch, 1, 2, workers, ring_batches);
  std::size_t number = 0;
  for (; const Batch* batch = stream->next(); ++number) {
    if (batch->size == 0) continue;
    ASSERT_TRUE(batch->mix.has_value());
    const auto plan = settings.method().plan(settings, {seed, epoch, number}, global_batch, side);
    EXPECT_EQ(batch->mix->plan.lambda, plan.lambda);
    EXPECT_EQ(batch->mix->plan.partner, plan.partner);
    EXPECT_EQ(batch->mix->plan.box, plan.box);
    ASSERT_EQ(batch->mix->weights.size(), static_cast<std::size_t>(batch->size));
    ASSERT_EQ(batch->mix->samples.size(), static_cast<std::size_t>(global_batch));
    for (std::size_t place = 0; place < batch->mix->samples.size(); ++place)
      EXPECT_EQ(batch->mix->samples[place], order[number * global_batch + place]);
  }
  EXPECT_EQ(number, batches);
}

// A buffer of the ring is used again: what a batch of a while ago left in it is not this one's.
TEST(MixedBatches, OfARankWithoutAShareAreEmpty) {
  for (const auto* method : mixing::methods()) {
    if (method->facts().partners == mixing::Partners::found) continue;
    Fixture fixture;
    fixture.choose(method->facts().name);
    auto source = fixture.source();
    const auto stream = open_training(source, epoch, global_batch, 2, 4, workers, ring_batches);
    std::size_t number = 0;
    for (; const Batch* batch = stream->next(); ++number) {
      EXPECT_EQ(batch->size, number + 1 < batches ? 1 : 0);
      EXPECT_EQ(batch->mix.has_value(), batch->size > 0) << method->facts().name << " " << number;
      EXPECT_EQ(batch->pixels.empty(), batch->size == 0);
      EXPECT_EQ(batch->labels.empty(), batch->size == 0);
      EXPECT_EQ(batch->draws.empty(), batch->size == 0);
    }
    EXPECT_EQ(number, batches);
  }
}

TEST(MixedBatches, BringWhatIsMixedBesideTheNetwork) {
  for (const auto* method : mixing::methods()) {
    if (method->mixes_pixels()) continue;
    const auto& facts = method->facts();
    Fixture fixture;
    auto& settings = fixture.choose(facts.name);
    const bool optional = settings.has("mix_probability");
    const auto before = composed(fixture);
    for (const double probability : {0.5, 1.0}) {
      if (optional) settings.set("mix_probability", probability);
      for (const int ranks : {1, 2, 3, 4}) {
        for (int rank = 0; rank < ranks; ++rank) {
          auto source = fixture.source();
          const auto stream = open_training(source, epoch, global_batch, rank, ranks, workers, ring_batches);
          std::size_t number = 0;
          for (; const Batch* batch = stream->next(); ++number) {
            SCOPED_TRACE(std::string{facts.name} + ", rank " + std::to_string(rank) + " of " +
                         std::to_string(ranks) + ", batch " + std::to_string(number));
            const std::int64_t size = number + 1 < batches ? global_batch : 1;
            const auto plan = method->plan(settings, {seed, epoch, number}, size, side);
            std::vector<std::uint32_t> own;
            for (auto place = static_cast<std::uint32_t>(rank); place < size;
                 place += static_cast<std::uint32_t>(ranks))
              own.push_back(place);
            ASSERT_EQ(batch->size, static_cast<std::int64_t>(own.size()));
            const auto rows = static_cast<std::size_t>(batch->size + batch->sources);
            if (rows == 0) continue;
            ASSERT_TRUE(batch->mix.has_value());
            EXPECT_EQ(batch->mix->plan.applied, plan.applied);
            EXPECT_THAT(batch->mix->weights, IsEmpty()) << "nothing is mixed yet";
            const auto& places = batch->mix->places;
            ASSERT_EQ(places.size(), rows);
            EXPECT_TRUE(std::equal(own.begin(), own.end(), places.begin())) << "the share comes first";
            EXPECT_EQ(std::set<std::uint32_t>(places.begin(), places.end()).size(), rows) << "each once";
            ASSERT_EQ(batch->draws.size(), rows);
            for (std::size_t row = 0; row < rows; ++row)
              EXPECT_TRUE(picture_of(*batch, row) == before.at({number, places[row]}));
            std::set<std::uint32_t> needed(own.begin(), own.end());
            if (plan.applied && facts.partners == mixing::Partners::found) {
              for (std::uint32_t place = 0; place < size; ++place) needed.insert(place);
            } else if (plan.applied) {
              for (const auto place : own) needed.insert(plan.partner[place]);
            }
            EXPECT_EQ(std::set<std::uint32_t>(places.begin(), places.end()), needed)
                << "all that is needed, and nothing else";
          }
          EXPECT_EQ(number, batches);
        }
      }
    }
  }
}

TEST(MixedBatches, ErrorsOfComposingReachTheCaller) {
  for (const auto* name : pixel_methods) {
    Fixture fixture;
    fixture.choose(name);
    auto source = fixture.source();
    std::filesystem::remove(fixture.folder.path() / "7.png");
    const auto stream = open_training(source, epoch, global_batch, 0, 1, workers, ring_batches);
    EXPECT_THROW(while (stream->next() != nullptr){}, IoError) << name;
  }
}

const ComposedStream::Render nothing_to_render = [](int, std::int64_t sample, std::uint8_t*, float*,
                                                    Draws& draws) { draws.index = sample; };

TEST(ComposedStream, ErrorsOfFinishingReachTheCaller) {
  Plan plan(20, {0, 1, 2});
  ComposedStream stream(plan, {2, 1}, workers, ring_batches, nothing_to_render,
                        std::pmr::get_default_resource(),
                        [](int, std::size_t batch, const Batch& whole, Batch& handed) {
                          if (batch == 5) throw DataError("batch 5 cannot be mixed");
                          handed.size = whole.size;
                        });
  int seen = 0;
  EXPECT_THROW(
      while (stream.next() != nullptr) { ++seen; }, DataError);
  EXPECT_LE(seen, 5);
}

TEST(ComposedStream, FinishesEachBatchOnceAfterAllOfItsSamples) {
  Plan plan;
  std::int64_t sample = 0;
  for (std::size_t batch = 0; batch < 50; ++batch) {
    plan.emplace_back();
    for (std::size_t i = 0; i < batch % 4; ++i) plan.back().push_back(sample++);
  }
  std::vector<std::atomic<int>> finished(plan.size());
  ComposedStream stream(plan, {2, 1}, workers, ring_batches, nothing_to_render,
                        std::pmr::get_default_resource(),
                        [&](int, std::size_t batch, const Batch& whole, Batch& handed) {
                          ++finished[batch];
                          handed.size = whole.size;
                          handed.draws = whole.draws;
                        });
  for (std::size_t batch = 0; batch < plan.size(); ++batch) {
    const auto* const found = stream.next();
    ASSERT_NE(found, nullptr);
    ASSERT_EQ(found->size, static_cast<std::int64_t>(plan[batch].size())) << batch;
    for (std::size_t i = 0; i < plan[batch].size(); ++i) EXPECT_EQ(found->draws[i].index, plan[batch][i]);
    EXPECT_EQ(finished[batch], plan[batch].empty() ? 0 : 1) << batch;
  }
  EXPECT_EQ(stream.next(), nullptr);
}

}  // namespace
}  // namespace deda::augment
