// Edges of pasted objects: as soft as asked in pixels of the canvas, of the object's colours, and cut off
// nowhere.
#include "augment/soft_edge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "augment/composer.h"
#include "augment/made_up_parts.h"
#include "core/random.h"

namespace deda::augment {
namespace {

// 10 to 90 % of a Gaussian edge of sigma 1.
constexpr double width_per_sigma = 2.5631;

double gaussian_edge(double distance, double sigma) {
  return sigma > 0 ? 0.5 * std::erfc(-distance / (sigma * std::numbers::sqrt2)) : distance >= 0 ? 1 : 0;
}

// A red square whose edge is a Gaussian's, in the middle of a part; what is hidden is green.
std::vector<std::uint8_t> red_square(int side, int margin, double sigma) {
  std::vector<std::uint8_t> pixels;
  const auto along = [&](int i) {
    return gaussian_edge(i + 0.5 - margin, sigma) * gaussian_edge(side - margin - i - 0.5, sigma);
  };
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const auto alpha = static_cast<std::uint8_t>(std::lround(255 * along(x) * along(y)));
      const std::array<std::uint8_t, 4> pixel{static_cast<std::uint8_t>(alpha > 0 ? 255 : 0),
                                              static_cast<std::uint8_t>(alpha > 0 ? 0 : 255), 0, alpha};
      pixels.insert(pixels.end(), pixel.begin(), pixel.end());
    }
  }
  return pixels;
}

int alpha_of(std::uint32_t pixel) {
  return static_cast<int>(pixel >> 24);
}

// 10 to 90 % width of the left edge, the mean over the rows of the middle half: a turned edge crosses them at
// all places between pixels.
double edge_width(const Sprite& sprite) {
  double sum = 0;
  const int first = sprite.height / 4, last = sprite.height * 3 / 4;
  for (int y = first; y < last; ++y) {
    const std::uint32_t* row = sprite.row(y);
    const auto crossing = [&](double level) {
      for (int x = -sprite.reach; x < sprite.width / 2; ++x) {
        const double from = alpha_of(row[x]) / 255.0, to = alpha_of(row[x + 1]) / 255.0;
        if (from < level && to >= level) return x + (level - from) / (to - from);
      }
      return -1000.0;
    };
    sum += crossing(0.9) - crossing(0.1);
  }
  return sum / (last - first);
}

std::int64_t sum_of_alpha(const Sprite& sprite) {
  std::int64_t sum = 0;
  for (const std::uint32_t pixel : sprite.pixels) sum += alpha_of(pixel);
  return sum;
}

TEST(EdgeSoftness, IsTheSigmaOfTheEdge) {
  for (const double sigma : {0.0, 0.7, 1.0, 2.0, 4.0}) {
    for (const double degrees : {0.0, 20.0, 45.0}) {
      constexpr int side = 80;
      std::vector<std::uint32_t> pixels;
      const double cosine = std::cos(degrees * std::numbers::pi / 180),
                   sine = std::sin(degrees * std::numbers::pi / 180);
      for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
          const double distance = (x - side / 2) * cosine + (y - side / 2) * sine + 0.3;
          pixels.push_back(static_cast<std::uint32_t>(std::lround(255 * gaussian_edge(distance, sigma)))
                           << 24);
        }
      }
      // Differences of pixels see 1/12 more variance; a hard edge is as soft as a pixel.
      const double expected = std::sqrt(sigma * sigma + 1.0 / 12);
      EXPECT_NEAR(edge_softness(pixels.data(), side, side), expected,
                  sigma > 0 ? 0.06 + 0.08 * expected : 0.12)
          << sigma << " at " << degrees << " degrees";
    }
  }
}

TEST(EdgeSoftness, IsNotThatOfFlatAlphaAndItsNoise) {
  constexpr int side = 100;
  RandomStream random{4, Purpose::test, 0, 0};
  std::vector<std::uint32_t> pixels(side * side), flat(side * side, 250u << 24);
  for (int y = 20; y < 80; ++y) {
    for (int x = 20; x < 80; ++x)
      pixels[static_cast<std::size_t>(y * side + x)] = (240 + random.below(4)) << 24;
  }
  EXPECT_NEAR(edge_softness(pixels.data(), side, side), 0.3, 0.03) << "a hard edge all the same";
  EXPECT_TRUE(std::isinf(edge_softness(flat.data(), side, side)));
}

TEST(BlurWeights, AddTheVarianceThatIsAskedFor) {
  for (const double variance : {0.02, 0.1, 0.3, 1.0, 2.25, 4.0, 9.0, 25.0}) {
    const SymmetricWeights weights = blur_weights(variance);
    ASSERT_LE(weights.radius, SymmetricWeights::most_radius);
    double sum = weights.values[0], squares = 0;
    for (int k = 1; k <= weights.radius; ++k) {
      const double both = 2.0 * weights.values[static_cast<std::size_t>(k)];
      sum += both;
      squares += both * k * k;
    }
    EXPECT_EQ(sum, 256);
    EXPECT_NEAR(squares / 256, variance, 0.01 + 0.03 * variance);
    for (int k = 2; k <= weights.radius; ++k)
      EXPECT_LE(weights.values[static_cast<std::size_t>(k)],
                weights.values[static_cast<std::size_t>(k - 1)] + 1);
  }
  for (const double nothing : {0.0, -3.0, -1e300}) EXPECT_EQ(blur_weights(nothing).radius, 0);
}

TEST(RowKernels, SoftenRoundsExactlyAndStaysPremultiplied) {
  RandomStream random{8, Purpose::test, 0, 0};
  const SymmetricWeights identity{0, {256}};
  for (int trial = 0; trial < 20000; ++trial) {
    const auto premultiplied = [&] {
      const std::uint32_t alpha = random.below(3) == 0 ? 255 * random.below(2) : random.below(256);
      return random.below(alpha + 1) | random.below(alpha + 1) << 8 | alpha << 24;
    };
    const std::uint32_t blurred = premultiplied(), before = premultiplied();
    std::uint32_t after = before;
    const std::uint32_t* row = &blurred;
    plain_kernels().soften(&row, identity, 1, &after);
    const double alpha = alpha_of(before), soft = alpha_of(blurred);
    const double whole = 255 * alpha + (255 - alpha) * soft;
    for (int shift = 0; shift < 32; shift += 8) {
      const double sharp = before >> shift & 255, spread = blurred >> shift & 255;
      const double expected = whole > 0 ? soft * (255 * sharp + (255 - alpha) * spread) / whole : 0;
      ASSERT_NEAR(after >> shift & 255, expected, 0.5 + 1e-9);
      ASSERT_LE(after >> shift & 255, after >> 24);
    }
    ASSERT_EQ(after >> 24, blurred >> 24);
  }
}

TEST(SoftenEdges, TouchesOnlyWhatABlurOfEverythingWouldChange) {
  RandomStream random{9, Purpose::test, 0, 0};
  SoftEdgeScratch scratch;
  for (int trial = 0; trial < 60; ++trial) {
    const SymmetricWeights weights = blur_weights(0.1 + 0.01 * random.below(trial < 40 ? 300 : 2400));
    const int radius = weights.radius, height = 3 + static_cast<int>(random.below(60)),
              width = 3 + static_cast<int>(random.below(90)), room = 2 * radius,
              stride = (width + 2 * room + 7) / 8 * 8, rows = height + 2 * radius;
    ASSERT_GT(radius, 0);
    // A few opaque boxes, one of them half transparent.
    std::vector<std::uint32_t> sharp(static_cast<std::size_t>(rows * stride));
    for (int box = 0; box < 4; ++box) {
      const std::uint32_t alpha = box == 3 ? 130 : 255;
      const int left = static_cast<int>(random.below(static_cast<std::uint32_t>(width))),
                top = static_cast<int>(random.below(static_cast<std::uint32_t>(height)));
      for (int y = top; y < std::min(height, top + 30); ++y) {
        for (int x = left; x < std::min(width, left + 40); ++x)
          sharp[static_cast<std::size_t>((y + radius) * stride + room + x)] =
              alpha << 24 | (alpha / 2) << 8 | random.below(alpha + 1);
      }
    }
    std::vector<std::uint32_t> expected = sharp,
                               blurred(sharp.size() + 2 * static_cast<std::size_t>(radius * stride));
    for (int y = 0; y < rows; ++y)
      plain_kernels().blur_along(&sharp[static_cast<std::size_t>(y * stride + radius)], weights,
                                 stride - 2 * radius,
                                 &blurred[static_cast<std::size_t>((y + radius) * stride + radius)]);
    for (int y = 0; y < rows; ++y) {
      std::vector<const std::uint32_t*> around;
      for (int k = 0; k <= 2 * radius; ++k)
        around.push_back(&blurred[static_cast<std::size_t>((y + k) * stride)]);
      plain_kernels().soften(around.data(), weights, stride, &expected[static_cast<std::size_t>(y * stride)]);
    }
    soften_edges({sharp.data(), height, stride}, weights, best_kernels(), scratch);
    ASSERT_EQ(sharp, expected) << "trial " << trial;
  }
}

TEST(SoftEdge, OfACdpShrunkByFourIsWhatWasAskedFor) {
  constexpr int side = 460, margin = 30;
  constexpr double degrees = 8;  // the square's tight box is then larger by cos + sin
  const double longer_side =
      (side - 2 * margin) / 4.0 *
      (std::cos(degrees * std::numbers::pi / 180) + std::sin(degrees * std::numbers::pi / 180));
  for (const double source_sigma : {0.0, 1.0, 3.0}) {
    const auto pixels = red_square(side, margin, source_sigma);
    const PreparedCdp cdp = prepare_cdp({side, side, 4, pixels, 0});
    Sprite sprite;
    make_sprite(cdp, longer_side, degrees, false, 0, 448, best_kernels(), sprite);
    const double as_it_comes = edge_width(sprite);
    EXPECT_LT(as_it_comes, 1.1 * width_per_sigma) << source_sigma;
    for (const double edge_sigma : {0.7, 1.0, 1.5, 2.0, 4.0}) {
      make_sprite(cdp, longer_side, degrees, false, 0, 448, best_kernels(), sprite, edge_sigma);
      const double expected = std::max(width_per_sigma * edge_sigma, as_it_comes);
      EXPECT_NEAR(edge_width(sprite), expected, 0.1 * expected)
          << "source " << source_sigma << ", asked for " << edge_sigma << ", comes as " << as_it_comes;
    }
  }
}

TEST(SoftEdge, ThatIsSofterAlreadyStaysAsItIs) {
  const auto pixels = red_square(100, 20, 2);
  const PreparedCdp cdp = prepare_cdp({100, 100, 4, pixels, 0});
  Sprite as_it_comes, asked;
  make_sprite(cdp, 200, 5, false, 0, 448, best_kernels(), as_it_comes);
  make_sprite(cdp, 200, 5, false, 0, 448, best_kernels(), asked, 2.0);
  EXPECT_EQ(as_it_comes.pixels, asked.pixels);
  EXPECT_EQ(asked.reach, 0);
}

TEST(SoftEdge, HasNoOtherColourThanTheObjects) {
  for (const double edge_sigma : {0.7, 1.0, 2.0, 5.0}) {
    const auto pixels = red_square(300, 60, 0);
    Sprite sprite;
    make_sprite(prepare_cdp({300, 300, 4, pixels, 0}), 60, 11, true, 0, 448, best_kernels(), sprite,
                edge_sigma);
    for (const std::uint32_t pixel : sprite.pixels) {
      EXPECT_EQ(pixel & 255, pixel >> 24) << "premultiplied red equals its alpha";
      EXPECT_EQ(pixel >> 8 & 0xffff, 0u);
    }
  }
}

TEST(SoftEdge, IsCutOffNowhereAndMovesNeitherBoxNorArea) {
  test::MadeUpParts parts;
  const PreparedCdp disc = prepare_cdp(parts.disc(301, 401, 200, 100, 50));
  for (const double edge_sigma : {0.7, 1.5, 3.0}) {
    Sprite hard, soft;
    make_sprite(disc, 120, 20, false, 0, 448, best_kernels(), hard);
    make_sprite(disc, 120, 20, false, 0, 448, best_kernels(), soft, edge_sigma);
    EXPECT_EQ(soft.width, hard.width);
    EXPECT_EQ(soft.height, hard.height);
    EXPECT_GT(soft.reach, 0);
    const auto whole = static_cast<double>(sum_of_alpha(hard));
    EXPECT_NEAR(static_cast<double>(sum_of_alpha(soft)), whole, 0.004 * whole)
        << "a blur moves alpha, it takes none";
    EXPECT_NEAR(static_cast<double>(soft.area), static_cast<double>(hard.area),
                0.01 * static_cast<double>(hard.area));
  }
}

// A CDP as large as the canvas, so that its soft edge reaches beyond it on all sides.
TEST(SoftEdge, IsPastedAlikeByBothPathsAndOverTheCanvassEdge) {
  test::MadeUpParts parts;
  AugmentConfig config;
  config.resize_shorter = 80;
  config.crop = 64;
  config.p_aug = config.p_mix = 1;
  config.edge_sigma = 2;
  config.scale_min = config.scale_max = config.mix_scale_min = config.mix_scale_max = 1;
  const PartPool pool = parts.pool(12, 3);
  io::Image canvas(80, 100, 3);
  std::fill(canvas.pixels.begin(), canvas.pixels.end(), std::uint8_t{40});
  const PreparedCdp first = prepare_cdp(parts.disc(90, 90, 250, 0, 0)),
                    second = prepare_cdp(parts.disc(60, 99, 0, 250, 0));
  ComposerScratch scratch;
  std::vector<std::uint8_t> best(64 * 64 * 3), plain(best);
  for (std::uint64_t sample = 0; sample < 12; ++sample) {
    Draws draws = decide(config, pool, 5, 1, sample), again = draws;
    compose(config, Choices{5, 1, sample}, canvas, first, &second, best_kernels(), scratch, draws,
            best.data());
    compose(config, Choices{5, 1, sample}, canvas, first, &second, plain_kernels(), scratch, again,
            plain.data());
    ASSERT_EQ(best, plain);
    EXPECT_EQ(combination_of(draws)->area1, combination_of(again)->area1);
    EXPECT_EQ(best[0], 40) << "no disc covers the corner";
  }
}

}  // namespace
}  // namespace deda::augment
