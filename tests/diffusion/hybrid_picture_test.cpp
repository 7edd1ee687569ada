// DiffuseMix's picture part against the arithmetic of its original (tests/golden/hybrid_pictures.py), byte
// for byte.
#include "diffusion/peers/hybrid_picture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "support/crc32.h"
#include "support/hashed_numbers.h"

namespace deda {
namespace {

using diffusion::Concatenation;
using diffusion::RejectedEnds;
using Json = nlohmann::json;

const Json& golden() {
  static const auto json = Json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/hybrid_pictures.json"));
  return json;
}

io::Image noise(std::uint64_t number, int height, int width) {
  io::Image picture(height, width, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(256 * test::hashed_number(number, i));
  return picture;
}

// All pairs of values in each row.
std::pair<io::Image, io::Image> every_pair(int height) {
  constexpr int pairs = 256 * 256;
  io::Image first(height, pairs, 3), second(height, pairs, 3);
  for (std::size_t i = 0; i < first.pixels.size(); ++i) {
    const std::size_t pair = i / 3 % pairs;
    first.pixels[i] = static_cast<std::uint8_t>(pair / 256);
    second.pixels[i] = static_cast<std::uint8_t>(pair % 256);
  }
  return {std::move(first), std::move(second)};
}

io::Image filled(int height, int width, std::array<std::uint8_t, 3> colour) {
  io::Image picture(height, width, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = colour[i % 3];
  return picture;
}

std::string checksum(const io::Image& picture) {
  return fmt::format("{:08x}", test::crc32(picture.pixels));
}

TEST(HybridPicture, EqualsTheOriginalsArithmetic) {
  const auto& cases = golden().at("hybrids");
  ASSERT_EQ(cases.size(), 14u);
  for (const auto& expected : cases) {
    const int height = expected.at("size")[0], width = expected.at("size")[1];
    const auto hybrid = diffusion::hybrid_picture(
        noise(expected.at("numbers")[0], height, width), noise(expected.at("numbers")[1], height, width),
        expected.at("concatenation") == "horizontal" ? Concatenation::horizontal : Concatenation::vertical);
    EXPECT_EQ(checksum(hybrid), expected.at("crc32")) << expected;
  }
}

TEST(HybridPicture, EqualsItForEveryPairOfValuesAtEveryPlaceOfTheRamp) {
  const auto [original, edited] = every_pair(diffusion::ramp_pixels);
  EXPECT_EQ(checksum(diffusion::hybrid_picture(original, edited, Concatenation::vertical)),
            golden().at("every_pair").at("hybrid"));
}

TEST(HybridPicture, OriginalComesFirstAndFadesOverTwentyPixelsInTheMiddle) {
  const auto original = filled(40, 64, {10, 20, 30}), edited = filled(40, 64, {200, 210, 220});
  const auto left_right = diffusion::hybrid_picture(original, edited, Concatenation::horizontal);
  const auto top_bottom = diffusion::hybrid_picture(original, edited, Concatenation::vertical);
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 64; ++x) {
      const int across = std::clamp(x - 22, 0, 19), down = std::clamp(y - 10, 0, 19);
      EXPECT_EQ(left_right.row(y)[3 * x], 10 + 190 * across / 19) << x;
      EXPECT_EQ(top_bottom.row(y)[3 * x + 1], 20 + 190 * down / 19) << y;
    }
  }
}

TEST(HybridPicture, PicturesThatDoNotFitAreRefused) {
  const auto wide = noise(1, 19, 40), high = noise(2, 40, 19);
  EXPECT_NO_THROW(diffusion::hybrid_picture(wide, wide, Concatenation::horizontal));
  EXPECT_THROW(diffusion::hybrid_picture(wide, wide, Concatenation::vertical), DataError);
  EXPECT_NO_THROW(diffusion::hybrid_picture(high, high, Concatenation::vertical));
  EXPECT_THROW(diffusion::hybrid_picture(high, high, Concatenation::horizontal), DataError);
  EXPECT_THROW(diffusion::hybrid_picture(wide, high, Concatenation::horizontal), DataError);
  EXPECT_THROW(diffusion::hybrid_picture(io::Image{}, io::Image{}, Concatenation::horizontal), DataError);
  EXPECT_THROW(
      diffusion::hybrid_picture(io::Image(32, 32, 4), io::Image(32, 32, 4), Concatenation::horizontal),
      DataError);
}

TEST(BlendFractal, IsExactForEveryPairOfValues) {
  const auto [hybrid, fractal] = every_pair(1);
  // The original's float32 arithmetic at its own share; exact fractions at others.
  EXPECT_EQ(checksum(diffusion::blend_fractal(hybrid, fractal)), golden().at("every_pair").at("blend"));
  for (const auto& expected : golden().at("blends"))
    EXPECT_EQ(checksum(diffusion::blend_fractal(hybrid, fractal, expected.at("share"))), expected.at("crc32"))
        << expected;
  for (const std::size_t i : {std::size_t{0}, std::size_t{300}, hybrid.pixels.size() - 1})
    EXPECT_EQ(diffusion::blend_fractal(hybrid, fractal).pixels[i],
              (4 * hybrid.pixels[i] + fractal.pixels[i]) / 5);
}

TEST(BlendFractal, SharesOutsideAndOtherSizesAreRefused) {
  const auto picture = noise(1, 8, 8), other = noise(2, 8, 9);
  for (const double share : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(diffusion::blend_fractal(picture, picture, share), ConfigError) << share;
  EXPECT_THROW(diffusion::blend_fractal(picture, other), DataError);
}

TEST(UnusablePicture, IsWhiteAsInTheOriginalOrBlackBesides) {
  int white = 0, black = 0;
  for (const auto& expected : golden().at("rejects")) {
    io::Image picture(25, 40, 3);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i)
      picture.pixels[i] = expected.at(i / 3 < expected.at("count") ? "colour" : "other")[i % 3];
    const auto by_both = diffusion::unusable_picture(picture);
    EXPECT_EQ(by_both.has_value(), expected.at("white_and_black")) << expected;
    EXPECT_EQ(diffusion::unusable_picture(picture, RejectedEnds::white).has_value(), expected.at("white"))
        << expected;
    if (!by_both) continue;
    EXPECT_TRUE(by_both->ends_with("white") || by_both->ends_with("black")) << *by_both;
    ++(by_both->ends_with("white") ? white : black);
  }
  EXPECT_GE(white, 10);
  EXPECT_GE(black, 10);
  EXPECT_TRUE(diffusion::unusable_picture(io::Image{}));
  EXPECT_THROW(diffusion::unusable_picture(io::Image(4, 4, 1)), DataError);
}

}  // namespace
}  // namespace deda
