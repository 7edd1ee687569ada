// PSNR and overlap of cut-outs, against numbers worked out by hand.
#include "report/cut_out_change.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace deda::report {
namespace {

// Columns [left, right) of an 8 x 8 picture in one grey and one alpha, all else transparent.
io::Image bar(int left, int right, std::uint8_t level, std::uint8_t alpha) {
  io::Image image(8, 8, 4);
  for (int y = 0; y < 8; ++y) {
    for (int x = left; x < right; ++x) {
      std::uint8_t* pixel = image.row(y) + 4 * x;
      pixel[0] = pixel[1] = pixel[2] = level;
      pixel[3] = alpha;
    }
  }
  return image;
}

TEST(CutOutChange, OfEqualPicturesIsNone) {
  const Change change = change_of(bar(2, 6, 90, 255), bar(2, 6, 90, 255));
  EXPECT_EQ(change.psnr_db, 99.0);
  EXPECT_EQ(change.overlap, 1.0);
}

TEST(CutOutChange, ComparesColoursWhereEitherIsOpaque) {
  // Two columns of object against grey, two of 227 against 207, two of grey against object.
  const Change change = change_of(bar(0, 4, 227, 255), bar(2, 6, 207, 255));
  const double mean_square = (99.5 * 99.5 + 20 * 20 + 79.5 * 79.5) / 3;
  EXPECT_NEAR(change.psnr_db, 10 * std::log10(255.0 * 255.0 / mean_square), 1e-9);
  EXPECT_NEAR(change.overlap, 2.0 / 6.0, 1e-12);
}

TEST(CutOutChange, SoftPixelsAreSeenOnGreyAndCountFromHalfAlphaOn) {
  const Change soft = change_of(bar(0, 4, 255, 255), bar(0, 4, 255, 128));
  EXPECT_NEAR(soft.psnr_db, 20 * std::log10(255.0 / (127.5 - 127.5 * 128 / 255)), 1e-9);
  EXPECT_EQ(soft.overlap, 1.0);
  EXPECT_EQ(change_of(bar(0, 4, 255, 255), bar(0, 4, 255, 127)).overlap, 0.0);
  EXPECT_EQ(change_of(bar(0, 4, 0, 127), bar(0, 4, 255, 127)).psnr_db, 99.0) << "nothing is opaque";
}

TEST(CutOutChange, RefusesPicturesOfUnequalShape) {
  EXPECT_THROW(change_of(io::Image(8, 8, 4), io::Image(8, 7, 4)), DataError);
  EXPECT_THROW(change_of(io::Image(8, 8, 3), io::Image(8, 8, 3)), DataError);
}

}  // namespace
}  // namespace deda::report
