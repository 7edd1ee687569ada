// Parts of pictures with several labels: which CDPs and CIPs are used, whose background a combination takes,
// and the label vector that follows.
#include <gtest/gtest.h>

#include <set>

#include "augment/combination.h"
#include "augment/composer.h"
#include "augment/part_pool.h"
#include "comm/communicator.h"
#include "support/temporary_folder.h"

namespace deda::augment {
namespace {

constexpr int side = 10;  // of every picture

io::Record part(std::int64_t item, std::int32_t class_id, int mask_area, std::int32_t version = 0) {
  io::Record record;
  record.info.source_index = item;
  record.info.class_id = class_id;
  record.info.height = record.info.width = 2;
  record.info.channels = 4;
  record.info.crop = record.info.box = {0, 0, 2, 2};
  record.info.mask_area = mask_area;
  record.info.version = version;
  record.pixels.assign(16, 200);
  return record;
}
io::Record background(std::int64_t item, int mask_area) {
  io::Record record;
  record.info.source_index = item;
  record.info.kind = io::RecordKind::cip;
  record.info.height = record.info.width = side;
  record.info.channels = 3;
  record.info.crop = {0, 0, side, side};
  record.info.box = {0, 0, 2, 2};
  record.info.mask_area = mask_area;
  record.pixels.assign(side * side * 3, 90);
  return record;
}

struct Fixture {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  std::vector<std::size_t> training;

  Fixture() {
    dataset.class_names = {"cat", "dog", "person"};
    dataset.multi_label = true;
    const auto add = [&](std::vector<std::int32_t> labels, std::vector<std::int32_t> difficult) {
      data::Item item;
      item.path = std::to_string(dataset.items.size()) + ".jpg";
      item.class_id = labels.front();
      item.labels = std::move(labels);
      item.difficult = std::move(difficult);
      training.push_back(dataset.items.size());
      dataset.items.push_back(std::move(item));
    };
    add({0, 1}, {});
    add({0, 2}, {});
    add({2}, {});
    add({1}, {2});
    add({2}, {2});
    io::StoreDescription description;
    description.stage = "decouple";
    description.class_names = dataset.class_names;
    for (const data::Item& item : dataset.items) {
      description.sources.push_back(item.path);
      description.source_classes.push_back(item.class_id);
    }
    const auto self = comm::Communicator::self();
    io::StoreWriter writer(self, folder / "store", description);
    std::vector<io::ItemResult> results(dataset.items.size());
    for (std::size_t i = 0; i < results.size(); ++i) results[i].item = static_cast<std::int64_t>(i);
    results[0].records = {part(0, 0, 20), part(0, 1, 20), background(0, 40)};
    results[1].records = {part(1, 0, 20), background(1, 20)};  // the person was not found
    results[2].records = {part(2, 2, 80), background(2, 80)};  // 20 % background
    results[3].records = {part(3, 1, 20), background(3, 20)};  // somebody far away, difficult
    results[4].records = {part(4, 2, 20), background(4, 20)};  // nothing but that
    writer.write_segment(0, std::move(results));
    writer.finish();
  }
  PartPool pool(PoolLimits limits = {}) const {
    return {dataset, training, {io::StoreReader(folder / "store")}, limits};
  }
};

std::set<std::int64_t> donors_of(const PartPool& pool, std::int32_t a, std::int32_t b) {
  std::set<std::int64_t> found;
  for (std::uint32_t n = 0; n < pool.donors_without(a, b); ++n) found.insert(pool.donor_without(n, a, b));
  EXPECT_EQ(found.size(), pool.donors_without(a, b)) << "each donor once";
  return found;
}

using Items = std::set<std::int64_t>;

TEST(LabelParts, GiveACdpPerLabelAndBackgroundsWithoutAnyLabel) {
  const Fixture fixture;
  const PartPool pool = fixture.pool();
  ASSERT_EQ(pool.labels(0), 2u);
  EXPECT_EQ(pool.label_class(0, 1), 1);
  EXPECT_EQ(pool.labels(1), 1u);
  EXPECT_EQ(pool.labels(2), 1u);
  EXPECT_FALSE(pool.usable(4)) << "a difficult object is no example of its class";
  EXPECT_EQ(pool.cutouts().order.size(), 5u);
  EXPECT_EQ(donors_of(pool, -1, -1), (Items{0, 3, 4}))
      << "not 1, whose person is still seen, nor 2, nearly filled";
  EXPECT_NE(pool.summary().find("1 that still show a label, 1 with too little background"), std::string::npos)
      << pool.summary();
  EXPECT_EQ(donors_of(pool, 0, 0), (Items{3, 4}));
  EXPECT_EQ(donors_of(pool, 1, 1), (Items{4}));
  EXPECT_EQ(donors_of(pool, 2, 2), (Items{0})) << "the difficult ones are seen too";
  EXPECT_EQ(donors_of(pool, 0, 1), (Items{4}));
  EXPECT_EQ(donors_of(pool, 1, 2), Items{});
  EXPECT_EQ(donors_of(fixture.pool({.min_background = 0.1}), -1, -1), (Items{0, 2, 3, 4}));
  EXPECT_FALSE(fixture.pool({.max_mask_share = 0.7}).usable(2));
}

TEST(LabelParts, OfOneLabelPerPictureStayWhatTheyWere) {
  Fixture fixture;
  fixture.dataset.multi_label = false;
  const PartPool pool = fixture.pool();
  EXPECT_EQ(pool.labels(0), 1u);
  EXPECT_EQ(pool.label_class(0, 0), 0);
  EXPECT_TRUE(pool.usable(4));
  EXPECT_EQ(donors_of(pool, -1, -1), (Items{0, 1, 2, 3, 4}));
  EXPECT_EQ(donors_of(pool, 0, 0), (Items{2, 3, 4}));
}

TEST(LabelParts, AreCombinedWithOtherLabelsOnBackgroundsWithoutThem) {
  const Fixture fixture;
  const PartPool pool = fixture.pool();
  AugmentConfig config;
  config.p_aug = 1;
  std::set<std::int32_t> anchors;
  int mixed = 0;
  for (std::uint32_t epoch = 1; epoch <= 200; ++epoch) {
    for (std::uint64_t sample = 0; sample < pool.size(); ++sample) {
      const Draws draws = decide(config, pool, 3, epoch, sample);
      const auto* made = combination_of(draws);
      ASSERT_EQ(made != nullptr, pool.usable(sample));
      if (made == nullptr) continue;
      if (sample == 0) anchors.insert(made->class1);
      EXPECT_EQ(made->class1, pool.label_class(sample, static_cast<std::size_t>(made->label)));
      if (made->mix >= 0) {
        ++mixed;
        EXPECT_NE(made->class1, made->class2);
        EXPECT_EQ(made->class2, pool.label_class(static_cast<std::size_t>(made->mix),
                                                 static_cast<std::size_t>(made->mix_label)));
      }
      const auto free_of_both = donors_of(pool, made->class1, made->mix >= 0 ? made->class2 : made->class1),
                 free_of_first = donors_of(pool, made->class1, made->class1);
      EXPECT_EQ((free_of_both.empty() ? free_of_first : free_of_both).count(made->cip), 1u);
    }
  }
  EXPECT_EQ(anchors, (std::set<std::int32_t>{0, 1})) << "each label of a picture is its anchor's at times";
  EXPECT_GT(mixed, 200);
}

TEST(LabelParts, MakeLabelVectorsOfWhatIsSeen) {
  const Fixture fixture;
  AugmentConfig config;
  CombinationDraws made;
  made.class1 = 0;
  made.area1 = 30;
  std::vector<float> label(3, 9.0f);
  const auto vector_on = [&](std::size_t donor) {
    fill_combined_label(config, fixture.dataset, fixture.dataset.items[donor], made, label.data());
    return label;
  };
  using Vector = std::vector<float>;
  EXPECT_EQ(vector_on(0), (Vector{1, 0, 0})) << "the background's own labels were cut out";
  EXPECT_EQ(vector_on(3), (Vector{1, 0, -1})) << "whoever is far away may still be seen";
  made.mix = 3;
  made.class2 = 2;
  made.area2 = 10;
  EXPECT_EQ(vector_on(3), (Vector{1, 0, 1}));
  config.mixed_label = MixedLabel::area;
  EXPECT_EQ(vector_on(0), (Vector{0.75f, 0, 0.25f}));
  config.mixed_label = MixedLabel::hard;
  made.area1 = 0;
  EXPECT_EQ(vector_on(0), (Vector{0, 0, 1})) << "nothing of the first is visible";
  config.paste_on = true;
  EXPECT_EQ(vector_on(1), (Vector{1, 0, 1})) << "a whole picture keeps its labels";
}

}  // namespace
}  // namespace deda::augment
