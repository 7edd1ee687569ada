// What the mask sources saw, drawn; doubtful pictures found; the review's text file, edited, leaves pictures
// out; two stores' masks held against each other.
#include "report/overlay.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/files.h"
#include "data/toy.h"
#include "decoupling/decouple.h"
#include "decoupling/exclusions.h"
#include "report/mask_agreement.h"
#include "support/temporary_folder.h"

namespace deda::report {
namespace {

decoupling::FoundObject object_with_mask(int x1, int y1, int x2, int y2, double score) {
  io::Image mask(100, 200, 1);
  for (int y = y1; y < y2; ++y) std::fill(mask.row(y) + x1, mask.row(y) + x2, std::uint8_t{255});
  decoupling::FoundObject object;
  object.box = {static_cast<double>(x1), static_cast<double>(y1), static_cast<double>(x2),
                static_cast<double>(y2)};
  object.score = score;
  object.phrase = "bird";
  object.sketch = decoupling::sketch_of(mask);
  return object;
}

decoupling::Look look_of(std::vector<decoupling::FoundObject> objects) {
  decoupling::Look look;
  look.source = "a.png";
  look.route = "text_box_sam";
  look.height = 100;
  look.width = 200;
  look.attempts.push_back({"text_box_sam", "bird.", "", std::move(objects)});
  return look;
}

TEST(Overlay, ShowsUsedMasksGreenAndRejectedOnesRed) {
  auto rejected = object_with_mask(110, 20, 180, 90, 0.3);
  rejected.rejected = "covers too much";
  const auto look = look_of({object_with_mask(10, 20, 90, 90, 0.9), rejected});
  const io::Image picture = draw_overlay(look, io::Image(100, 200, 3), 400);
  ASSERT_EQ(picture.width, 400);
  ASSERT_EQ(picture.height, 200);
  const auto pixel = [&](int x, int y) { return picture.row(y) + 3 * x; };
  EXPECT_GT(pixel(100, 140)[1], pixel(100, 140)[0]) << "green inside of the used mask";
  EXPECT_GT(pixel(290, 140)[0], pixel(290, 140)[1]) << "red inside of the rejected one";
  EXPECT_EQ(pixel(200, 10)[0] + pixel(200, 10)[1] + pixel(200, 10)[2], 0) << "nothing elsewhere";
  const io::Image without = draw_overlay(look, {}, 400);
  EXPECT_EQ(without.width, 400) << "the picture is not at hand: a grey ground";
  EXPECT_EQ(without.row(5)[600], 210);
}

TEST(Doubts, SmallHugeBrokenAndUnsureMasksComeFirst) {
  auto none = look_of({});
  none.route.clear();
  none.outcome = io::Outcome::nothing_found;
  std::vector<decoupling::Look> looks = {
      look_of({object_with_mask(50, 20, 150, 80, 0.9)}),  // nothing unusual
      look_of({object_with_mask(50, 50, 60, 60, 0.9)}),   // small
      look_of({object_with_mask(0, 0, 200, 95, 0.9)}),    // huge
      look_of(
          {object_with_mask(10, 20, 60, 80, 0.9), object_with_mask(120, 20, 180, 80, 0.9)}),  // two pieces
      look_of({object_with_mask(50, 20, 150, 80, 0.05)}),                                     // unsure
      none,
      look_of({object_with_mask(50, 20, 150, 80, 0.9)}),   // colours like those around
      look_of({object_with_mask(50, 20, 150, 80, 0.9)})};  // and others
  looks[6].quality = 0.1;
  looks[7].quality = 0.95;
  const auto doubts = find_doubts(looks);
  ASSERT_EQ(doubts.size(), 6u);
  for (const Doubt& doubt : doubts) EXPECT_NE(doubt.look, 0u);
  for (std::size_t i = 1; i < doubts.size(); ++i) EXPECT_GE(doubts[i - 1].weight, doubts[i].weight);
  const auto reason_of = [&](std::size_t look) {
    for (const Doubt& doubt : doubts) {
      if (doubt.look == look) return doubt.reasons.front();
    }
    return std::string{};
  };
  EXPECT_NE(reason_of(1).find("small"), std::string::npos);
  EXPECT_NE(reason_of(2).find("huge"), std::string::npos);
  EXPECT_NE(reason_of(3).find("2 pieces"), std::string::npos);
  EXPECT_NE(reason_of(4).find("score 0.05"), std::string::npos);
  EXPECT_NE(reason_of(5).find("nothing_found"), std::string::npos);
  EXPECT_NE(reason_of(6).find("differ by 0.10 only"), std::string::npos);
}

// A store of the toy dataset's own masks.
struct ToyStore {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  decoupling::DecoupleConfig config;
  ToyStore() {
    data::ToyConfig toy;
    toy.train_per_class = 3;
    toy.test_per_class = 1;
    toy.size = 48;
    data::make_toy_dataset(comm::Communicator::self(), toy, folder / "toy");
    data::DatasetConfig dataset_config;
    dataset_config.root = folder / "toy";
    dataset = data::load_dataset(dataset_config);
  }
  io::StoreReader make(const std::string& name) {
    decoupling::decouple(comm::Communicator::self(), {dataset, config, folder / name, 1, std::nullopt, 0});
    return io::StoreReader(folder / name);
  }
};

TEST(Review, WritesAPageAndAListThatTheNextRunHonours) {
  ToyStore toy;
  toy.config.min_mask_share = 0.2;  // some beetles are too small for that
  const io::StoreReader store = toy.make("store");
  const auto page = toy.folder / "review.html", list = write_review(page, store, toy.dataset.root);
  EXPECT_EQ(list.filename(), "review.exclude.txt");
  EXPECT_NE(read_text(page).find("data:image/jpeg"), std::string::npos);
  EXPECT_TRUE(decoupling::read_exclusions(list, toy.dataset).empty())
      << "nothing is excluded until a person says so";
  const std::string chosen = toy.dataset.items[0].path;
  std::ofstream(list, std::ios::app) << chosen << "\n";
  write_review(page, store, toy.dataset.root);
  EXPECT_EQ(decoupling::read_exclusions(list, toy.dataset), std::set<std::string>{chosen})
      << "a second review leaves the person's list alone";
}

TEST(Looks, AreSummarizedByClass) {
  ToyStore toy;
  const io::StoreReader store = toy.make("store");
  const auto classes = summarize_looks(store, decoupling::read_looks(store.folder()));
  ASSERT_EQ(classes.size(), 6u);
  for (const auto& each : classes) {
    EXPECT_EQ(each.pictures, 3);
    EXPECT_EQ(each.objects, 3);
    EXPECT_EQ(each.routes.at("annotated"), 3);
  }
  const io::Image sheet = overlay_sheet(decoupling::read_looks(store.folder()), toy.dataset.root, 6, 80);
  EXPECT_GT(sheet.width, 4 * 80);
}

TEST(MaskAgreement, IsOneForTheSameMasksAndLessForSmallerOnes) {
  ToyStore toy;
  const io::StoreReader first = toy.make("first");
  const auto same = compare_masks(first, first);
  EXPECT_EQ(same.both, 18);
  EXPECT_DOUBLE_EQ(same.mean_iou, 1.0);
  toy.config.cdp_longer_side = 24;  // stored shrunk: compared all the same
  const auto shrunk = compare_masks(first, toy.make("shrunk"));
  EXPECT_EQ(shrunk.both, 18);
  EXPECT_GT(shrunk.mean_iou, 0.8);
  EXPECT_LT(shrunk.mean_iou, 1.0);
  toy.config.cdp_longer_side = 0;
  toy.config.erode_pixels = 2;
  toy.config.min_mask_share = 0.1;
  const auto other = compare_masks(first, toy.make("second"));
  EXPECT_EQ(other.both + other.first_only, 18);
  EXPECT_LT(other.mean_iou, 0.95);
  EXPECT_GT(other.mean_iou, 0.2);
  EXPECT_LE(other.worst.front().first, other.median_iou);
}

}  // namespace
}  // namespace deda::report
