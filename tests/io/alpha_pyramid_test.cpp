// The fill: known pixels stay, constants stay, no overshoot, level counts, and a plain re-statement of the
// algorithm.
#include "io/pictures/alpha_pyramid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <tuple>
#include <vector>

#include "core/random.h"

namespace deda::io {
namespace {

io::Image noise(int height, int width, int channels, std::uint64_t sample) {
  RandomStream random{1, Purpose::test, 0, sample};
  io::Image image(height, width, channels);
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random.below(256));
  return image;
}

io::Image disc_hole(int height, int width, double share) {
  io::Image known(height, width, 1);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double dx = (x - width / 2.0) / width, dy = (y - height / 2.0) / height;
      known.row(y)[x] = dx * dx + dy * dy < share * share ? 0 : 255;
    }
  }
  return known;
}

TEST(AlphaPyramid, HasTheLevelsOfTheOriginal) {
  EXPECT_EQ(alpha_pyramid_levels(375, 500), 27);
  EXPECT_EQ(alpha_pyramid_levels(448, 448), 28);
  EXPECT_EQ(alpha_pyramid_levels(512, 512), 28);
  EXPECT_EQ(alpha_pyramid_levels(224, 224), 24);
  EXPECT_EQ(alpha_pyramid_levels(695, 1024), 30);
  EXPECT_EQ(alpha_pyramid_levels(1024, 1024), 32);
  EXPECT_EQ(alpha_pyramid_levels(1, 100), 1);
}

TEST(AlphaPyramid, KeepsKnownPixelsBitForBit) {
  const io::Image picture = noise(61, 83, 3, 0), known = disc_hole(61, 83, 0.3);
  const io::Image filled = fill_by_alpha_pyramid(picture, known);
  for (std::size_t i = 0; i < known.pixels.size(); ++i) {
    if (known.pixels[i] != 255) continue;
    for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(filled.pixels[3 * i + c], picture.pixels[3 * i + c]);
  }
  const io::Image all_known = [] {
    io::Image k(61, 83, 1);
    std::fill(k.pixels.begin(), k.pixels.end(), std::uint8_t{255});
    return k;
  }();
  EXPECT_EQ(fill_by_alpha_pyramid(picture, all_known).pixels, picture.pixels);
}

TEST(AlphaPyramid, LeavesAConstantPictureConstantUnderAnyMask) {
  io::Image picture(50, 70, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(40 + 60 * (i % 3));
  for (std::uint64_t sample = 0; sample < 4; ++sample) {
    io::Image known = noise(50, 70, 1, 10 + sample);
    for (auto& value : known.pixels) value = value < 200 ? 0 : 255;
    const io::Image filled = fill_by_alpha_pyramid(picture, known);
    for (std::size_t i = 0; i < filled.pixels.size(); ++i)
      ASSERT_NEAR(filled.pixels[i], picture.pixels[i], 1) << "float rounding only";
  }
}

TEST(AlphaPyramid, StaysBetweenTheKnownColours) {
  io::Image picture = noise(64, 48, 3, 1);
  for (auto& value : picture.pixels) value = static_cast<std::uint8_t>(80 + value % 60);
  io::Image known = disc_hole(64, 48, 0.4);
  for (std::size_t i = 0; i < known.pixels.size(); ++i) {
    if (known.pixels[i] == 0) std::fill_n(&picture.pixels[3 * i], 3, std::uint8_t{255});  // must not leak
  }
  const io::Image filled = fill_by_alpha_pyramid(picture, known);
  for (const std::uint8_t value : filled.pixels) {
    EXPECT_GE(value, 79);
    EXPECT_LE(value, 140);
  }
}

TEST(AlphaPyramid, OneKnownPixelGivesItsColourEverywhereAndNoneGivesBlack) {
  io::Image picture(30, 40, 3), known(30, 40, 1);
  const std::size_t at = 12 * 40 + 17;
  known.pixels[at] = 255;
  for (std::size_t c = 0; c < 3; ++c) picture.pixels[3 * at + c] = static_cast<std::uint8_t>(50 + 70 * c);
  const io::Image filled = fill_by_alpha_pyramid(picture, known);
  for (std::size_t i = 0; i < filled.pixels.size(); ++i)
    ASSERT_NEAR(filled.pixels[i], 50 + 70 * static_cast<int>(i % 3), 1);
  const io::Image black = fill_by_alpha_pyramid(noise(30, 40, 3, 2), io::Image(30, 40, 1));
  EXPECT_EQ(std::count(black.pixels.begin(), black.pixels.end(), 0), 30 * 40 * 3);
  EXPECT_EQ(fill_by_alpha_pyramid(noise(1, 1, 3, 3), io::Image(1, 1, 1)).pixels.size(), 3u);
}

// The recipe of LayerDiffuse's alpha pyramid written with OpenCV's whole matrices: area means down, "over"
// going up.
cv::Mat restated(const io::Image& picture, const io::Image& known, double ratio) {
  cv::Mat colour, alpha;
  cv::Mat(picture.height, picture.width, CV_8UC3, const_cast<std::uint8_t*>(picture.pixels.data()))
      .convertTo(colour, CV_32F, 1 / 255.0);
  cv::Mat(known.height, known.width, CV_8UC1, const_cast<std::uint8_t*>(known.pixels.data()))
      .convertTo(alpha, CV_32F, 1 / 255.0);
  const auto three = [](const cv::Mat& one) {
    cv::Mat out;
    cv::merge(std::vector<cv::Mat>{one, one, one}, out);
    return out;
  };
  std::vector<cv::Mat> colours = {colour.mul(three(alpha))}, alphas = {alpha};
  while (std::min(alphas.back().rows, alphas.back().cols) > 1) {
    const cv::Size size(std::max(1, static_cast<int>(alphas.back().cols / ratio)),
                        std::max(1, static_cast<int>(alphas.back().rows / ratio)));
    cv::Mat c, a;
    cv::resize(colours.back(), c, size, 0, 0, cv::INTER_AREA);
    cv::resize(alphas.back(), a, size, 0, 0, cv::INTER_AREA);
    colours.push_back(c);
    alphas.push_back(a);
  }
  const cv::Scalar mean = cv::sum(colours.back()) / std::max(1e-8, cv::sum(alphas.back())[0]);
  cv::Mat fill(alphas.back().size(), CV_32FC3, mean);
  for (std::size_t k = alphas.size(); k-- > 0;) {
    cv::Mat up;
    cv::resize(fill, up, alphas[k].size(), 0, 0, cv::INTER_LINEAR);
    fill = colours[k] + up.mul(three(1.0 - alphas[k]));
  }
  return fill;
}

TEST(AlphaPyramid, EqualsAPlainRestatementOfTheAlgorithm) {
  constexpr float tolerance = 1e-5f;  // float32 sums in another order
  std::uint64_t sample = 5;
  for (const auto& [height, width, ratio] : {std::tuple{47, 66, 1.2},
                                             {66, 47, 1.2},
                                             {128, 128, 2.0},
                                             {3, 90, 1.2},
                                             {2, 2, 1.2},
                                             {61, 40, 3.7},
                                             {200, 301, 1.1}}) {
    const io::Image picture = noise(height, width, 3, sample), known = disc_hole(height, width, 0.35);
    ++sample;
    const cv::Mat expected = restated(picture, known, ratio);
    const std::vector<float> colours = alpha_pyramid_colours(picture, known, ratio);
    ASSERT_EQ(colours.size(), picture.pixels.size());
    for (std::size_t i = 0; i < colours.size(); ++i)
      ASSERT_NEAR(colours[i], expected.ptr<float>()[i], tolerance)
          << height << " x " << width << ", value " << i;
  }
}

// Bytes are filled within the hole's bounding box only: the same values as the whole picture's.
TEST(AlphaPyramid, ABoxAroundTheHoleGivesTheSameAsTheWholePicture) {
  for (const auto& [left, top, right, bottom] :
       {std::array{0, 0, 20, 30}, {50, 40, 97, 71}, {33, 20, 34, 21}, {0, 0, 97, 71}, {10, 70, 90, 71}}) {
    const io::Image picture = noise(71, 97, 3, 40);
    io::Image known(71, 97, 1);
    std::fill(known.pixels.begin(), known.pixels.end(), std::uint8_t{255});
    for (int y = top; y < bottom; ++y) {
      for (int x = left; x < right; ++x) known.row(y)[x] = static_cast<std::uint8_t>((x * 7 + y * 5) % 200);
    }
    const io::Image bytes = fill_by_alpha_pyramid(picture, known);
    const std::vector<float> colours = alpha_pyramid_colours(picture, known);
    for (std::size_t i = 0; i < colours.size(); ++i)
      ASSERT_EQ(bytes.pixels[i], static_cast<int>(std::lround(colours[i] * 255.0f))) << i;
  }
}

}  // namespace
}  // namespace deda::io
