// Synthetic CDPs beside real ones: changes are measured on one frame, whatever the records were cropped to.
#include "report/synthetic_report.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/temporary_folder.h"

namespace deda::report {
namespace {

// A square object of one colour: [crop] in source pixels, fully opaque.
io::Record square(std::array<std::int32_t, 4> crop, std::uint8_t level, std::int32_t version) {
  io::Record record;
  auto& info = record.info;
  info.source_index = 0;
  info.class_id = 0;
  info.crop = info.box = crop;
  info.width = crop[2] - crop[0];
  info.height = crop[3] - crop[1];
  info.channels = 4;
  info.version = version;
  info.strength = version > 0 ? 0.4f : 0.0f;
  record.pixels.assign(static_cast<std::size_t>(info.width) * info.height * 4, level);
  for (std::size_t i = 3; i < record.pixels.size(); i += 4) record.pixels[i] = 255;
  return record;
}
io::RecordView view_of(const io::Record& record) {
  return {record.info, record.pixels};
}

TEST(Change, OfTheSameObjectInATighterCropIsNone) {
  const auto real = square({10, 10, 30, 30}, 200, 0);
  auto padded = square({5, 5, 35, 35}, 200, 1);  // the same object with transparent rim
  for (std::int32_t y = 0; y < 30; ++y) {
    for (std::int32_t x = 0; x < 30; ++x) {
      if (x < 5 || y < 5 || x >= 25 || y >= 25)
        padded.pixels[static_cast<std::size_t>(4 * (30 * y + x) + 3)] = 0;
    }
  }
  const Change change = change_of(view_of(real), view_of(padded));
  EXPECT_DOUBLE_EQ(change.overlap, 1.0);
  EXPECT_GT(change.psnr_db, 90);
}

TEST(Change, CountsColourInDecibelsAndSilhouettesAsIntersectionOverUnion) {
  const auto real = square({0, 0, 20, 20}, 100, 0);
  const Change darker = change_of(view_of(real), view_of(square({0, 0, 20, 20}, 74, 1)));
  EXPECT_NEAR(darker.psnr_db, 20 * std::log10(255.0 / 26.0), 1e-9);
  const Change moved = change_of(view_of(real), view_of(square({10, 0, 30, 20}, 100, 1)));
  EXPECT_NEAR(moved.overlap, 1.0 / 3.0, 1e-12);
  EXPECT_LT(moved.psnr_db, darker.psnr_db + 20);
}

TEST(Change, ComparesRecordsOfAnotherScale) {
  const auto real = square({0, 0, 40, 40}, 100, 0);
  auto shrunk = square({0, 0, 20, 20}, 100, 1);  // 20 pixels that stand for 40
  shrunk.info.crop = {0, 0, 40, 40};
  const Change change = change_of(view_of(real), view_of(shrunk));
  EXPECT_DOUBLE_EQ(change.overlap, 1.0);
  EXPECT_GT(change.psnr_db, 90);
}

TEST(AlphaHistogram, TellsSoftAlphaFromHardEdges) {
  AlphaHistogram histogram;
  histogram.counts.front() = 5;
  histogram.counts.back() = 90;
  histogram.counts[7] = 5;
  EXPECT_DOUBLE_EQ(histogram.soft_share(), 0.05);
  EXPECT_DOUBLE_EQ(AlphaHistogram{}.soft_share(), 0.0);
}

class Stores : public ::testing::Test {
 protected:
  io::StoreReader write(const std::string& stage, std::vector<std::string> sources,
                        std::vector<io::ItemResult> results) {
    io::StoreDescription description;
    description.stage = stage;
    description.configuration = "{}";
    description.dataset = "example";
    description.class_names = {"beetle"};
    description.source_classes.assign(sources.size(), 0);
    description.sources = std::move(sources);
    const auto ranks = comm::Communicator::self();
    io::StoreWriter writer(ranks, folder_ / stage, description);
    writer.write_segment(0, std::move(results));
    writer.finish();
    return io::StoreReader(folder_ / stage);
  }
  static io::Record of_item(io::Record record, std::int64_t item) {
    record.info.source_index = item;
    return record;
  }
  test::TemporaryFolder folder_;
};

TEST_F(Stores, AreMatchedByPictureAndRejectedCopiesLeaveBlankCells) {
  // The synthetic store knows one picture of the two, under another item number.
  const auto real = write("decouple", {"a.png", "b.png"},
                          {{0, io::Outcome::done, "", {square({0, 0, 20, 20}, 50, 0)}},
                           {1, io::Outcome::done, "", {of_item(square({0, 0, 20, 20}, 100, 0), 1)}}});
  const auto synthetic = write("generate", {"b.png"},
                               {{0,
                                 io::Outcome::done,
                                 "copy 2 rejected",
                                 {square({0, 0, 20, 20}, 74, 1), square({0, 0, 20, 20}, 100, 3)}}});
  const auto summary = compare_with_real(synthetic, real);
  EXPECT_EQ(summary.real, 1);
  EXPECT_EQ(summary.synthetic, 2);
  EXPECT_FLOAT_EQ(static_cast<float>(summary.strength), 0.4f);
  EXPECT_NEAR(summary.mean_psnr_db, (20 * std::log10(255.0 / 26.0) + 99.0) / 2, 1e-6);
  const auto sheet = synthetic_sheet(synthetic, real, 5);
  ASSERT_EQ(sheet.titles.size(), 4u);
  ASSERT_EQ(sheet.rows.size(), 1u);
  EXPECT_EQ(sheet.rows[0].caption, "beetle, b.png");
  EXPECT_FALSE(sheet.rows[0].cells[1].empty());
  EXPECT_TRUE(sheet.rows[0].cells[2].empty());
  EXPECT_FALSE(sheet.rows[0].cells[3].empty());
}

}  // namespace
}  // namespace deda::report
