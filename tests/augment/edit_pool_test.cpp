// Edited pictures of a generative peer in training: which may take whose place, how often, with what label.
#include "augment/edit_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "augment/sample_source.h"
#include "comm/communicator.h"
#include "core/error.h"
#include "io/pictures/image_codec.h"
#include "support/temporary_folder.h"

namespace deda::augment {
namespace {

constexpr int picture_count = 9, classes = 3, copies = 2;

// Written pictures of one grey each and a store of edits, whose grey tells source, version and target.
struct Fixture {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  std::vector<std::size_t> training;
  AugmentConfig config;

  static std::uint8_t grey_of(int item, int version) {
    return static_cast<std::uint8_t>(100 + 10 * item + version);
  }
  // Edits of picture `item` into the class `shift` further on; none of the last picture.
  explicit Fixture(int shift = 0) {
    dataset.root = folder.path();
    dataset.class_names = {"a", "b", "c"};
    io::StoreDescription description;
    description.stage = "generate";
    description.configuration = "{}";
    description.provenance = "{}";
    description.class_names = dataset.class_names;
    description.items_per_segment = 4;
    for (int item = 0; item < picture_count; ++item) {
      io::Image image(40, 60, 3);
      std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(item));
      data::Item entry;
      entry.path = std::to_string(item) + ".png";
      entry.class_id = item % classes;
      io::write_image(folder.path() / entry.path, image);
      dataset.items.push_back(entry);
      training.push_back(static_cast<std::size_t>(item));
      description.sources.push_back(entry.path);
      description.source_classes.push_back(entry.class_id);
    }
    const auto alone = comm::Communicator::self();
    io::StoreWriter writer(alone, folder / "edits", description);
    for (const auto segment : writer.missing_segments()) {
      std::vector<io::ItemResult> results;
      const auto [first, last] = writer.items_of(segment);
      for (auto item = first; item < last; ++item) {
        io::ItemResult result;
        result.item = item;
        for (int version = 1; version <= copies && item + 1 < picture_count; ++version) {
          io::Record record;
          record.info.kind = io::RecordKind::picture;
          record.info.source_index = item;
          record.info.class_id = static_cast<std::int32_t>(item % classes);
          record.info.target_class = static_cast<std::int32_t>((item + shift) % classes);
          record.info.height = 50;
          record.info.width = 40;
          record.info.channels = 3;
          record.info.version = version;
          record.info.strength = 0.7f;
          record.pixels.assign(50 * 40 * 3, grey_of(static_cast<int>(item), version));
          result.records.push_back(std::move(record));
        }
        if (result.records.empty()) {
          result.outcome = io::Outcome::rejected;
          result.reason = "made up";
        }
        results.push_back(std::move(result));
      }
      writer.write_segment(segment, std::move(results));
    }
    writer.finish();
    config.method = Method::edits;
    config.peer = generative::Method::diff_mix;
    config.resize_shorter = 34;
    config.crop = 32;
    config.flip = 0;
  }
  io::StoreReader store() const { return io::StoreReader(folder / "edits"); }
  generative::TrainingUse& use() { return config.peers[config.peer]; }
  EditPool pool(generative::Pool which, const std::vector<bool>& kept = {}) {
    use().pool = which;
    return {dataset, training, store(), use(), kept};
  }
};

std::set<std::size_t> sources_of(const EditPool& pool, std::size_t sample) {
  std::set<std::size_t> sources;
  for (const auto number : pool.choices(sample)) sources.insert(pool.edit(number).source);
  return sources;
}

TEST(EditPool, OffersEditsOfThePictureOfItsClassOrAll) {
  Fixture fixture(1);
  const auto by_source = fixture.pool(generative::Pool::source);
  EXPECT_EQ(by_source.size(), 16u);
  EXPECT_EQ(by_source.choices(4).size(), 2u);
  EXPECT_EQ(sources_of(by_source, 4), (std::set<std::size_t>{4}));
  EXPECT_TRUE(by_source.choices(8).empty());
  EXPECT_EQ(by_source.samples_without(), 1u);
  const auto by_class = fixture.pool(generative::Pool::target_class);
  EXPECT_EQ(sources_of(by_class, 8), (std::set<std::size_t>{1, 4, 7})) << "edits into class 2 are of class 1";
  EXPECT_EQ(by_class.samples_without(), 0u);
  const auto all = fixture.pool(generative::Pool::all);
  EXPECT_EQ(all.choices(8).size(), 16u);
}

TEST(EditPool, LeavesOutWhatTheFilterRejectsAndOtherPictures) {
  Fixture fixture;
  std::vector<bool> kept(16, true);
  for (std::size_t record = 0; record < kept.size(); ++record) {
    if (fixture.store().at(record).info.class_id == 2) kept[record] = false;
  }
  fixture.training.erase(fixture.training.begin());  // picture 0 is held out
  const auto pool = fixture.pool(generative::Pool::target_class, kept);
  EXPECT_EQ(pool.left_out(), 4u);
  EXPECT_EQ(pool.size(), 10u);
  EXPECT_EQ(pool.classes_without(), (std::vector<std::int32_t>{2}));
  EXPECT_NE(pool.summary().find("4 more left out"), std::string::npos) << pool.summary();
  EXPECT_EQ(pool.edit(pool.choices(0).front()).source, 0u) << "numbered by place in the training list";
}

TEST(EditPool, RefusesStoresOfPartsAndOfOtherClasses) {
  Fixture fixture;
  fixture.dataset.class_names = {"a", "b", "other"};
  EXPECT_THROW(fixture.pool(generative::Pool::source), DataError);
}

TEST(EditPool, TakesThePlaceAsOftenAsAskedAndEachEditEquallyOften) {
  Fixture fixture;
  fixture.use().p_aug = 0.3;
  const auto pool = fixture.pool(generative::Pool::all);
  std::map<std::int64_t, int> counts;
  int edited = 0;
  constexpr int epochs = 10000;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const auto draws = decide_edit(fixture.use(), pool, 5, static_cast<std::uint32_t>(epoch), 2);
    if (const auto* edit = edit_of(draws)) {
      ++edited;
      ++counts[edit->edit];
    }
  }
  // At one false alarm in 1,000: 3.3 standard deviations, and chi-squared of 15 degrees of freedom.
  EXPECT_NEAR(edited, 0.3 * epochs, 3.3 * std::sqrt(0.3 * 0.7 * epochs));
  double chi_squared = 0;
  for (std::int64_t number = 0; number < 16; ++number) {
    const double expected = edited / 16.0, difference = counts[number] - expected;
    chi_squared += difference * difference / expected;
  }
  EXPECT_LT(chi_squared, 37.7);
  fixture.use().p_aug = 0;
  EXPECT_EQ(edit_of(decide_edit(fixture.use(), pool, 5, 1, 2)), nullptr);
}

TEST(EditPool, SamplesShowTheEditUnderItsLabel) {
  for (const int shift : {0, 1}) {
    Fixture fixture(shift);
    fixture.use().p_aug = 1;
    auto pool = fixture.pool(generative::Pool::source);
    TrainingSource source(fixture.dataset, fixture.training, {}, fixture.config, 3, std::move(pool));
    ComposerScratch scratch;
    std::vector<std::uint8_t> pixels(32 * 32 * 3);
    std::vector<float> label(classes);
    for (std::int64_t sample = 0; sample < picture_count; ++sample) {
      Draws draws;
      source.render(sample, 1, scratch, pixels.data(), label.data(), draws);
      const auto* edit = edit_of(draws);
      std::vector<float> expected(classes);
      if (sample + 1 == picture_count) {  // it has none
        EXPECT_EQ(edit, nullptr);
        EXPECT_EQ(pixels[0], sample);
        expected[static_cast<std::size_t>(sample % classes)] = 1;
      } else {
        ASSERT_NE(edit, nullptr);
        EXPECT_EQ(edit->source, sample);
        const auto own = static_cast<std::size_t>(sample % classes),
                   other = static_cast<std::size_t>((sample + shift) % classes);
        const float share = shift == 0 ? 1.0f : static_cast<float>(std::pow(static_cast<double>(0.7f), 0.8));
        expected[own] = 1 - share;
        expected[other] = share;
        if (shift == 0) expected[own] = 1;
        const auto a = Fixture::grey_of(static_cast<int>(sample), 1),
                   b = Fixture::grey_of(static_cast<int>(sample), 2);
        EXPECT_TRUE(pixels[0] == a || pixels[0] == b) << static_cast<int>(pixels[0]);
        EXPECT_TRUE(
            std::all_of(pixels.begin(), pixels.end(), [&](auto value) { return value == pixels[0]; }));
      }
      for (std::size_t c = 0; c < label.size(); ++c)
        EXPECT_NEAR(label[c], expected[c], 1e-6) << sample << " " << c;
    }
  }
}

}  // namespace
}  // namespace deda::augment
