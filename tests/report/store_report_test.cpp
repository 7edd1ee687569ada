// What is told of a store: tables of the classes that it has pictures of, pictures that are found on disk or
// said to be missing, combinations of the row's own CDP.
#include "report/store_report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/files.h"
#include "core/provenance.h"
#include "io/pictures/image_codec.h"
#include "report/combination_sheet.h"
#include "report/letters.h"
#include "report/overlay.h"
#include "support/temporary_folder.h"

namespace deda::report {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::int32_t side = 40;  // of the pictures
constexpr std::int32_t classes_with_pictures = 2;

// Every item has its own colour, so that a CDP is known again wherever it is pasted.
std::array<std::uint8_t, 3> colour_of(std::int64_t item) {
  return {static_cast<std::uint8_t>(250 - 30 * item), static_cast<std::uint8_t>(40 * item), 30};
}

io::Record part(std::int64_t item, std::int32_t class_id, io::RecordKind kind,
                std::array<std::int32_t, 4> crop) {
  io::Record record;
  auto& info = record.info;
  info.source_index = item;
  info.class_id = class_id;
  info.kind = kind;
  info.crop = crop;
  info.box = {10, 10, 30, 30};
  info.mask_area = 400;
  info.width = crop[2] - crop[0];
  info.height = crop[3] - crop[1];
  const auto colour = colour_of(item);
  const bool cdp = kind == io::RecordKind::cdp;
  info.channels = cdp ? 4 : 3;
  for (std::int32_t i = 0; i < info.width * info.height; ++i) {
    for (int c = 0; c < 3; ++c) record.pixels.push_back(cdp ? colour[static_cast<std::size_t>(c)] : 0);
    if (cdp) record.pixels.push_back(255);
  }
  return record;
}

std::string source_of(std::int64_t item) {
  return "class_" + std::to_string(item % classes_with_pictures) + "/" + std::to_string(item) + ".png";
}

struct StoreOptions {
  std::int64_t items = 6;
  std::int32_t classes = classes_with_pictures;
  std::filesystem::path root = {};  // told by the store's provenance; empty: it has none
  bool other_label = false;         // every picture also gives a CDP of the other class
};

io::StoreReader make_store(const std::filesystem::path& folder, const StoreOptions& options = {}) {
  io::StoreDescription description;
  description.stage = "decouple";
  description.key = std::string(32, '0');
  description.configuration = "{}";
  description.dataset = "squares";
  description.routes = {"annotated"};
  if (!options.root.empty()) {
    Provenance made_of;
    made_of.stage = "decouple";
    made_of.code_version = "1.0";
    made_of.processor = "a processor";
    made_of.configuration = nlohmann::json{{"dataset", {{"root", options.root.string()}}}}.dump();
    description.provenance = to_json(made_of);
  }
  for (std::int32_t id = 0; id < options.classes; ++id)
    description.class_names.push_back("class " + std::to_string(id));
  std::vector<io::ItemResult> results;
  for (std::int64_t item = 0; item < options.items; ++item) {
    const auto id = static_cast<std::int32_t>(item % classes_with_pictures);
    description.sources.push_back(source_of(item));
    description.source_classes.push_back(id);
    io::ItemResult result;
    result.item = item;
    result.records.push_back(part(item, id, io::RecordKind::cdp, {10, 10, 30, 30}));
    if (options.other_label) {
      auto other = part(item, 1 - id, io::RecordKind::cdp, {10, 10, 30, 30});
      std::fill(other.pixels.begin(), other.pixels.end(), std::uint8_t{77});
      result.records.push_back(std::move(other));
    }
    result.records.push_back(part(item, id, io::RecordKind::cip, {0, 0, side, side}));
    results.push_back(std::move(result));
  }
  io::StoreWriter writer(comm::Communicator::self(), folder, description);
  writer.write_segment(0, std::move(results));
  writer.finish();
  return io::StoreReader(folder);
}

void write_picture(const std::filesystem::path& root, std::int64_t item, int height = side,
                   int width = side) {
  const auto path = root / source_of(item);
  std::filesystem::create_directories(path.parent_path());
  io::Image image(height, width, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{200});
  io::write_image(path, image);
}

TEST(StoreReport, ListsClassesThatHavePicturesAndCountsTheOthers) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store", {.classes = 200});
  const auto summary = summarize(store);
  ASSERT_EQ(summary.classes.size(), 200u);
  const std::string text = to_text(summary);
  EXPECT_THAT(text, AllOf(HasSubstr("\nclass 0 "), HasSubstr("\nclass 1 "), Not(HasSubstr("\nclass 2 "))));
  EXPECT_THAT(text, HasSubstr("198 of 200 classes have no picture in this store and are left out: class 2, "
                              "class 3, class 4, class 5, class 6 and 193 more"));
  Page page("store");
  add_to_page(page, summary);
  EXPECT_THAT(page.html(), AllOf(HasSubstr(">class 1</td>"), Not(HasSubstr(">class 2</td>")),
                                 HasSubstr("198 of 200 classes")));
  const auto all = make_store(folder / "all");
  EXPECT_THAT(to_text(summarize(all)), Not(HasSubstr("left out"))) << "nothing to tell";
}

TEST(StoreReport, TellsNoShareOfMasksThatAreNotThere) {
  StoreSummary summary;
  summary.classes.push_back({.name = "failed", .items = 3});
  EXPECT_THAT(to_text(summary), AllOf(HasSubstr("failed"), Not(HasSubstr("0.0 %")))) << "it has pictures";
}

TEST(StoreReport, ListsLooksOfClassesThatHavePicturesAndCountsTheOthers) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store", {.classes = 200});
  std::vector<decoupling::Look> looks(1);
  looks[0].source = source_of(0);
  const auto classes = summarize_looks(store, looks);
  EXPECT_THAT(to_text(classes), AllOf(HasSubstr("\nclass 0 "), Not(HasSubstr("\nclass 1 ")),
                                      HasSubstr("199 of 200 classes have no picture")));
  Page page("looks");
  add_to_page(page, classes);
  EXPECT_THAT(page.html(), AllOf(HasSubstr(">class 0</td>"), Not(HasSubstr(">class 1</td>")),
                                 HasSubstr("199 of 200 classes")));
}

TEST(StoreReport, KeepsLongNamesReadableAndLinedUp) {
  StoreSummary summary;
  summary.classes.push_back({.name = "short", .items = 1});
  summary.classes.push_back(
      {.name = "a name that is too long for a table, of the northern käfer", .items = 1});
  summary.classes.push_back({.name = "nördlicher Käfer mit langem Namen", .items = 1});
  std::istringstream lines(to_text(summary));
  std::set<std::size_t> widths;
  std::string line;
  std::getline(lines, line);  // what the store is
  for (int i = 0; i < 4 && std::getline(lines, line); ++i) widths.insert(count_letters(line));
  EXPECT_EQ(widths.size(), 1u);
  EXPECT_THAT(to_text(summary), AllOf(HasSubstr("a name that"), HasSubstr("northern käfer"),
                                      HasSubstr("nördlicher Käfer mit langem Namen")));
}

TEST(Originals, AreFoundInTheFirstFolderThatHasThemElseWhereTheStoreWasMadeFrom) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store", {.root = folder / "pictures"});
  EXPECT_FALSE(Originals(store, {folder / "elsewhere"}).found());
  EXPECT_THAT(words_on(Originals(store, {folder / "elsewhere"}), 3, 3),
              AllOf(HasSubstr("not on disk"), HasSubstr((folder / "elsewhere").string()),
                    HasSubstr((folder / "pictures").string()), HasSubstr("--data")));
  write_picture(folder / "pictures", 0);
  EXPECT_EQ(Originals(store, {}).where(), (folder / "pictures").string());
  write_picture(folder / "moved", 0);
  EXPECT_EQ(Originals(store, {folder / "elsewhere", folder / "moved"}).where(), (folder / "moved").string());
  EXPECT_THAT(words_on(Originals(make_store(folder / "old"), {}), 3, 3),
              HasSubstr("neither the configuration"));
  const Originals named(folder / "nowhere");
  EXPECT_THAT(words_on(named, 3, 3), HasSubstr("None of the pictures can be shown from " + named.where()));
  EXPECT_THAT(words_on(named, 3, 1), HasSubstr("1 of 3 cannot be shown"));
}

TEST(Originals, AreNotShownWhereAnotherPictureHasTheName) {
  const test::TemporaryFolder folder;
  write_picture(folder.path(), 0, 30, 50);
  const Originals originals(folder.path());
  EXPECT_EQ(originals.picture(source_of(0), 30, 50).image.height, 30);
  EXPECT_EQ(originals.picture(source_of(0), 0, 0).image.height, 30) << "its size is not known";
  EXPECT_EQ(originals.picture(source_of(0), 25, 50).image.height, 25) << "a banner below was dropped";
  EXPECT_EQ(originals.picture(source_of(0), 50, 30).why_not, "of another size on disk");
  EXPECT_EQ(originals.picture(source_of(1), 0, 0).why_not, "not on disk");
  write_picture(folder.path(), 1);
  write_atomically(folder / source_of(1), "no picture");
  EXPECT_EQ(originals.picture(source_of(1), 0, 0).why_not, "unreadable");
  EXPECT_TRUE(originals.picture(source_of(1), 0, 0).image.empty());
}

TEST(SampleRows, HaveTheirPicturesOrSayThatTheyAreMissing) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store");
  write_picture(folder / "pictures", 0);
  write_picture(folder / "pictures", 3);
  const auto sample = sample_rows(store, Originals(store, {folder / "pictures"}), 4);
  ASSERT_EQ(sample.items, (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(sample.missing_pictures, 2);
  EXPECT_EQ(sample.rows[0].cells[0].width, side);
  EXPECT_TRUE(sample.rows[1].cells[0].empty());
  EXPECT_EQ(sample.rows[1].instead[0], "not on disk");
  const io::Image with_words = render_sheet({"image"}, {{"", {{}}, {"not on disk"}}}, 100);
  const io::Image blank = render_sheet({"image"}, {{"", {{}}}}, 100);
  EXPECT_NE(with_words.pixels, blank.pixels) << "said in the cell, not empty";
}

TEST(SampleRows, ShowTheCdpOfThePicturesOwnClass) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store", {.other_label = true});
  const auto sample = sample_rows(store, {}, 4);
  ASSERT_EQ(sample.items.size(), 4u);
  for (std::size_t row = 0; row < 4; ++row)
    EXPECT_EQ(sample.rows[row].cells[1].pixels[0], colour_of(sample.items[row])[0]) << row;
}

TEST(Overlays, SayThatThePictureIsMissing) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store");
  write_picture(folder / "pictures", 0);
  std::vector<decoupling::Look> looks(2);
  for (std::int64_t item = 0; item < 2; ++item) {
    auto& look = looks[static_cast<std::size_t>(item)];
    look.item = item;
    look.source = source_of(item);
    look.route = "annotated";
    look.height = look.width = side;
  }
  const Originals originals(store, {folder / "pictures"});
  EXPECT_EQ(overlay_sheet(looks, originals, {}, 8, 100).missing_pictures, 1);
  EXPECT_EQ(write_overlays(folder / "overlays", looks, originals, 100), 1);
  const io::Image silent = draw_overlay(looks[1], {}, 100),
                  told = draw_overlay(looks[1], {}, 100, "not on disk");
  EXPECT_NE(silent.pixels, told.pixels);
}

// The colours of a sample that are no background.
std::set<std::array<std::uint8_t, 3>> colours_in(const io::Image& sample) {
  std::set<std::array<std::uint8_t, 3>> colours;
  for (std::size_t i = 0; i < sample.pixels.size(); i += 3)
    colours.insert({sample.pixels[i], sample.pixels[i + 1], sample.pixels[i + 2]});
  return colours;
}

TEST(CombinationSheet, ComposesEveryRowFromItsOwnCdp) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store");
  augment::AugmentConfig config;
  config.crop = config.resize_shorter = side;
  config.p_mix = 0;
  config.rotation_degrees = 0;
  const std::vector<std::int64_t> items = {5, 0, 3};
  const auto samples = compose_samples(store, config, items, 2, 1);
  ASSERT_EQ(samples.size(), 3u);
  for (std::size_t row = 0; row < items.size(); ++row) {
    ASSERT_EQ(samples[row].size(), 2u);
    for (const io::Image& sample : samples[row]) {
      const auto colours = colours_in(sample);
      EXPECT_EQ(colours.count(colour_of(items[row])), 1u) << "row " << row;
      for (std::int64_t other = 0; other < 6; ++other)
        EXPECT_EQ(colours.count(colour_of(other)), other == items[row] ? 1u : 0u) << "row " << row;
    }
    EXPECT_NE(samples[row][0].pixels, samples[row][1].pixels);
  }
}

TEST(CombinationSheet, HasNothingForACdpThatTrainingDoesNotUse) {
  const test::TemporaryFolder folder;
  const auto store = make_store(folder / "store");
  augment::AugmentConfig config;
  config.crop = config.resize_shorter = side;
  config.max_mask_share = 0.1;  // the squares cover a quarter
  const auto samples = compose_samples(store, config, {0, 1}, 2, 1);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_TRUE(samples[0].empty());
}

}  // namespace
}  // namespace deda::report
