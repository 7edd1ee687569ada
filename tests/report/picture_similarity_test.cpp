// PSNR and SSIM against scikit-image (tests/golden/picture_similarity.py).
#include "report/picture_similarity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "support/hashed_numbers.h"

namespace deda {
namespace {

// Pictures of tests/golden/picture_similarity.py: value of channel c at (x, y), of the first and the second.
int value_of(const std::string& kind, bool second, int noise, int more, int x, int y, int c, int height,
             int width) {
  const auto slopes = [&](int at_x) { return (3 * at_x + 5 * y + 40 * c) / 4 % 256; };
  if (kind == "noise") return second ? more : noise;
  if (kind == "one_colour") return second ? 90 + 20 * c : 200;
  if (!second) return slopes(x);
  if (kind == "slopes") return 255 - slopes(x);
  if (kind == "slopes_and_noise") return std::clamp(slopes(x) + noise / 16 - 8, 0, 255);
  if (kind == "moved") return slopes(x + 2);
  return y == height / 2 && x == width / 2 && c == 1 ? (slopes(x) + 1) % 256 : slopes(x);
}

io::Image made_up(const std::string& kind, bool second, std::uint64_t number, int height, int width) {
  io::Image picture(height, width, 3);
  std::size_t i = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c, ++i) {
        const auto noise = static_cast<int>(256 * test::hashed_number(number, i)),
                   more = static_cast<int>(256 * test::hashed_number(number + 1000, i));
        picture.pixels[i] =
            static_cast<std::uint8_t>(value_of(kind, second, noise, more, x, y, c, height, width));
      }
    }
  }
  return picture;
}

TEST(PictureSimilarity, EqualsScikitImage) {
  const auto golden =
      nlohmann::json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/picture_similarity.json"));
  ASSERT_EQ(golden.size(), 30u);
  for (const auto& expected : golden) {
    const int height = expected.at("size")[0], width = expected.at("size")[1];
    const auto first = made_up(expected.at("kind"), false, expected.at("number"), height, width),
               second = made_up(expected.at("kind"), true, expected.at("number"), height, width);
    // The sum of squares is exact here and in double there: what is left is the rounding of a logarithm.
    const auto psnr = report::psnr_db(first, second);
    ASSERT_TRUE(psnr) << expected;
    EXPECT_NEAR(*psnr, expected.at("psnr_db").get<double>(), 1e-12) << expected;
    // Both in double. Variances are differences of numbers up to 130050, each with some 1e-11 of rounding,
    // and where a picture has one colour they are divided by no more than 58.5. 7e-12 was measured.
    EXPECT_NEAR(report::structural_similarity(first, second), expected.at("ssim").get<double>(), 1e-10)
        << expected;
  }
}

TEST(PictureSimilarity, EqualPicturesHaveNoPsnr) {
  const auto picture = made_up("noise", false, 7, 16, 24);
  EXPECT_FALSE(report::psnr_db(picture, picture));
  EXPECT_NEAR(report::structural_similarity(picture, picture), 1, 1e-12);
}

TEST(PictureSimilarity, WhatCannotBeComparedIsRefused) {
  const io::Image picture(16, 24, 3), other(24, 16, 3), grey(16, 24, 1), low(10, 24, 3);
  EXPECT_THROW(report::psnr_db(picture, other), DataError);
  EXPECT_THROW(report::psnr_db(grey, grey), DataError);
  EXPECT_THROW(report::psnr_db(io::Image{}, io::Image{}), DataError);
  EXPECT_THROW(report::structural_similarity(picture, other), DataError);
  EXPECT_THROW(report::structural_similarity(low, low), DataError);
  EXPECT_NO_THROW(report::psnr_db(low, io::Image(10, 24, 3)));
}

}  // namespace
}  // namespace deda
