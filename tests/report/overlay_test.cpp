// What the mask sources saw, drawn; doubtful pictures found; the review's text file, edited, leaves pictures
// out; two stores' masks held against each other.
#include "report/overlay.h"

#include <gmock/gmock.h>

#include <fstream>

#include "core/error.h"
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

// A file of scores for all pictures of the store: `quality` of item 4, near 1 for the others.
void write_scores(const io::StoreReader& store, const std::string& of_item_4) {
  std::string text = "item,source,cdp_keeps,cip_keeps\n";
  const auto& sources = store.description().sources;
  for (std::size_t i = 0; i < sources.size(); ++i)
    text += std::to_string(i) + "," + sources[i] + "," + (i == 4 ? of_item_4 : "0.98,0.01") + "\n";
  write_atomically(store.folder() / "mask_scores.csv", text);
}

std::string message_of(const io::StoreReader& store) {
  try {
    read_mask_scores(store);
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(MaskScores, AreReadFromTheStoresFolderWhereThereAreSome) {
  ToyStore toy;
  const io::StoreReader store = toy.make("store");
  EXPECT_TRUE(read_mask_scores(store).empty());
  write_scores(store, "0.5,0.25");
  const MaskScores scores = read_mask_scores(store);
  EXPECT_EQ(scores.size(), 18u);
  EXPECT_DOUBLE_EQ(scores.at(4).quality(), 0.375);
  EXPECT_EQ(words_of(scores.at(4)), "mask score 0.38 (CDP alone 0.50, CIP alone 0.25)");
}

TEST(MaskScores, OfAnotherStoreOrOutOfRangeAreErrorsWithTheirLine) {
  ToyStore toy;
  const io::StoreReader store = toy.make("store");
  const auto file = store.folder() / "mask_scores.csv";
  const std::string header = "item,source,cdp_keeps,cip_keeps\n", source = store.description().sources[0];
  const auto with = [&](const std::string& text) {
    write_atomically(file, text);
    return message_of(store);
  };
  EXPECT_THAT(with(header + "0," + source + ",0.5,0.5\n"), testing::StrEq("no error"));
  EXPECT_THAT(with(header + "0," + source + ",50,0.5\n"),
              testing::AllOf(testing::HasSubstr("mask_scores.csv:2"), testing::HasSubstr("cdp_keeps")));
  EXPECT_THAT(with(header + "0," + source + ",0.5,nan\n"), testing::HasSubstr("cip_keeps"));
  EXPECT_THAT(with(header + "0," + source + ",0.5,\n"), testing::HasSubstr("cip_keeps"));
  EXPECT_THAT(with(header + "99," + source + ",0.5,0.5\n"), testing::HasSubstr("18 items"));
  EXPECT_THAT(with(header + "1," + source + ",0.5,0.5\n"), testing::HasSubstr("another store"));
  EXPECT_THAT(with(header + "0," + source + ",0.5\n"), testing::HasSubstr("3 cells"));
  EXPECT_THAT(with(header + "0," + source + ",0.5,0.5\n0," + source + ",0.5,0.5\n"),
              testing::AllOf(testing::HasSubstr(":3"), testing::HasSubstr("second score")));
  EXPECT_THAT(with("item,cdp_keeps,source,cip_keeps\n"), testing::HasSubstr("columns"));
  EXPECT_THAT(with(""), testing::HasSubstr("empty"));
}

TEST(MaskScores, PutTheDoubtfulFirstBesideTheirPictures) {
  ToyStore toy;
  const io::StoreReader store = toy.make("store");
  const auto page = toy.folder / "review.html";
  write_review(page, store, toy.dataset.root);
  EXPECT_EQ(read_text(page).find("ask score"), std::string::npos) << "no file: the page as ever";
  write_scores(store, "0.2,0.4");
  const auto looks = decoupling::read_looks(store.folder());
  const auto doubts = find_doubts(looks, read_mask_scores(store));
  ASSERT_FALSE(doubts.empty());
  EXPECT_EQ(looks[doubts[0].look].item, 4);
  EXPECT_THAT(doubts[0].reasons.back(), testing::HasSubstr("mask score 0.12"));
  std::filesystem::remove(toy.folder / "review.exclude.txt");
  const auto list = write_review(page, store, toy.dataset.root);
  const std::string html = read_text(page), source = store.description().sources[4];
  EXPECT_THAT(html, testing::HasSubstr("18 of 18 pictures have one"));
  const auto first = html.find("<figcaption>");
  EXPECT_EQ(html.compare(first, 12 + source.size(), "<figcaption>" + source), 0) << "the lowest score first";
  EXPECT_THAT(html, testing::HasSubstr("mask score 0.12 (CDP alone 0.20, CIP alone 0.40)"));
  EXPECT_THAT(read_text(list), testing::HasSubstr("#" + source));
}

TEST(MaskScores, OrderPicturesWithOneBeforeThoseWithout) {
  auto none = look_of({});
  none.route.clear();
  none.outcome = io::Outcome::nothing_found;
  std::vector<decoupling::Look> looks = {look_of({object_with_mask(50, 20, 150, 80, 0.9)}), none,
                                         look_of({object_with_mask(50, 50, 60, 60, 0.9)}),
                                         look_of({object_with_mask(50, 20, 150, 80, 0.9)})};
  for (std::size_t i = 0; i < looks.size(); ++i) looks[i].item = static_cast<std::int64_t>(i);
  const auto doubts = find_doubts(looks, {{0, {0.3, 0.1}}, {2, {0.9, 0.1}}, {3, {0.9, 0.9}}});
  std::vector<std::size_t> order;
  for (const Doubt& doubt : doubts) order.push_back(doubt.look);
  EXPECT_EQ(order, (std::vector<std::size_t>{3, 0, 2, 1}));
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
  const auto sheet =
      overlay_sheet(decoupling::read_looks(store.folder()), Originals(toy.dataset.root), {}, 6, 80);
  EXPECT_GT(sheet.image.width, 4 * 80);
  EXPECT_EQ(sheet.shown, 6);
  EXPECT_EQ(sheet.missing_pictures, 0);
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
