// Pixels of a combination: exact blending, both paths alike, geometry, occlusion, labels by visible area.
#include "augment/composer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "augment/geometry.h"
#include "augment/made_up_parts.h"
#include "core/random.h"

namespace deda::augment {
namespace {

TEST(RowKernels, BlendIsTheExactlyRoundedQuotient) {
  for (unsigned alpha = 0; alpha < 256; ++alpha) {
    for (unsigned under = 0; under < 256; under += 3) {
      std::uint8_t canvas[3] = {static_cast<std::uint8_t>(under), 0, 0};
      const std::uint32_t source = alpha << 24;
      plain_kernels().blend(canvas, &source, 1);
      EXPECT_EQ(canvas[0], static_cast<int>(std::floor(under * (255 - alpha) / 255.0 + 0.5)))
          << under << " under " << alpha;
    }
  }
}

TEST(RowKernels, BothPathsAgreeBitForBit) {
  if (!has_avx2()) GTEST_SKIP() << "this processor has no AVX2";
  RandomStream random{3, Purpose::test, 0, 0};
  constexpr int side = 70;
  std::vector<std::uint32_t> picture(side * side + 8);
  for (auto& pixel : picture) {
    const std::uint32_t alpha = random.below(256);  // premultiplied: no channel above alpha
    pixel =
        random.below(alpha + 1) | random.below(alpha + 1) << 8 | random.below(alpha + 1) << 16 | alpha << 24;
  }
  const RowKernels &plain = plain_kernels(), &best = best_kernels();
  ASSERT_NE(plain.blend, best.blend) << "DEDA_SIMD=plain is set";
  for (int trial = 0; trial < 400; ++trial) {
    const int count = 1 + static_cast<int>(random.below(67));
    // A walk that stays inside: its two ends are.
    const auto inside = [&] { return static_cast<std::int32_t>(random.below((side - 1) << 16)); };
    const std::int32_t x0 = inside(), y0 = inside(), x1 = inside(), y1 = inside();
    const RowWalk walk{picture.data(), side, x0, y0, (x1 - x0) / count, (y1 - y0) / count};
    std::vector<std::uint32_t> a(static_cast<std::size_t>(count)), b(a);
    plain.sample(walk, count, a.data());
    best.sample(walk, count, b.data());
    ASSERT_EQ(a, b) << "sample, trial " << trial;
    std::vector<std::uint8_t> canvas(static_cast<std::size_t>(count) * 3),
        cover_a(static_cast<std::size_t>(count)), cover_b(cover_a), other(cover_a);
    for (auto& value : canvas) value = static_cast<std::uint8_t>(random.below(256));
    for (auto& value : other) value = static_cast<std::uint8_t>(random.below(2));
    std::vector<std::uint8_t> canvas_b = canvas;
    plain.blend(canvas.data(), a.data(), count);
    best.blend(canvas_b.data(), a.data(), count);
    ASSERT_EQ(canvas, canvas_b) << "blend, trial " << trial;
    ASSERT_EQ(plain.cover(a.data(), count, cover_a.data()), best.cover(a.data(), count, cover_b.data()));
    ASSERT_EQ(cover_a, cover_b);
    ASSERT_EQ(plain.overlap(cover_a.data(), other.data(), count),
              best.overlap(cover_a.data(), other.data(), count));
    SymmetricWeights weights = blur_weights(0.1 + random.below(1000) * 0.01);
    if (trial % 2 == 0) weights = {1, {86, 85}};
    const std::size_t ends = 2 * static_cast<std::size_t>(weights.radius);
    std::vector<const std::uint32_t*> rows;
    for (std::size_t k = 0; k <= ends; ++k) rows.push_back(picture.data() + random.below(side * (side - 1)));
    const auto* inside_picture =
        picture.data() + SymmetricWeights::most_radius + random.below(side * side / 2);
    plain.blur_along(inside_picture, weights, count, a.data());
    best.blur_along(inside_picture, weights, count, b.data());
    ASSERT_EQ(a, b) << "blur_along, trial " << trial;
    std::copy_n(picture.data() + random.below(side), count, a.data());
    b = a;
    plain.soften(rows.data(), weights, count, a.data());
    best.soften(rows.data(), weights, count, b.data());
    ASSERT_EQ(a, b) << "soften, trial " << trial;
    plain.mirror(canvas.data(), count);
    best.mirror(canvas_b.data(), count);
    ASSERT_EQ(canvas, canvas_b) << "mirror, trial " << trial;
  }
}

TEST(Sprite, IsCutTightAndItsLongerSideIsAsAsked) {
  test::MadeUpParts parts;
  const PreparedCdp disc = prepare_cdp(parts.disc(101, 101, 200, 100, 50));
  Sprite sprite;
  for (const double degrees : {0.0, 7.0, -15.0, 90.0}) {
    make_sprite(disc, 60, degrees, false, 0, 448, best_kernels(), sprite);
    EXPECT_NEAR(std::max(sprite.width, sprite.height), 60, 1) << "a disc stays a disc when turned";
    EXPECT_NEAR(static_cast<double>(sprite.area), 3.14159 * 30 * 30, 0.03 * 3.14159 * 900) << degrees;
  }
  const PreparedCdp wide = prepare_cdp(parts.disc(40, 120, 200, 100, 50));
  make_sprite(wide, 90, 0, false, 0, 448, best_kernels(), sprite);
  EXPECT_EQ(sprite.width, 90);
  EXPECT_NEAR(sprite.height, 30, 1);
  make_sprite(wide, 90, 90, false, 0, 448, best_kernels(), sprite);
  EXPECT_EQ(sprite.height, 90) << "turned by 90 degrees";
  make_sprite(wide, 400, 0, false, 1.0, 448, best_kernels(), sprite);
  EXPECT_EQ(sprite.width, 120) << "max_enlarge = 1 caps the scale";
}

TEST(Sprite, MirrorsBeforeItTurnsCounterClockwise) {
  // A bar along the top edge with its right end marked blue.
  std::vector<std::uint8_t> bar(10 * 40 * 4);
  for (int y = 0; y < 10; ++y) {
    for (int x = 0; x < 40; ++x) {
      std::uint8_t* to = &bar[static_cast<std::size_t>(4 * (y * 40 + x))];
      to[3] = 255;
      to[x >= 30 ? 2 : 0] = 255;
    }
  }
  const PreparedCdp cdp = prepare_cdp({10, 40, 4, bar, 0});
  const auto blue_at = [](const Sprite& sprite, int x, int y) {
    return (sprite.pixels[static_cast<std::size_t>(y * sprite.width + x)] >> 16 & 255) > 128;
  };
  Sprite sprite;
  make_sprite(cdp, 40, 0, false, 0, 448, best_kernels(), sprite);
  EXPECT_TRUE(blue_at(sprite, 38, 5));
  make_sprite(cdp, 40, 0, true, 0, 448, best_kernels(), sprite);
  EXPECT_TRUE(blue_at(sprite, 1, 5)) << "mirrored: blue is at the left";
  make_sprite(cdp, 40, 90, false, 0, 448, best_kernels(), sprite);
  EXPECT_TRUE(blue_at(sprite, 5, 1)) << "a quarter turn counter-clockwise brings the right end up";
}

TEST(Sprite, HasNoHaloOfHiddenColours) {
  // White object; what is hidden is black. Premultiplied sampling must never darken visible white relative to
  // its alpha.
  std::vector<std::uint8_t> pixels(64 * 64 * 4);
  for (int y = 16; y < 48; ++y) {
    for (int x = 16; x < 48; ++x)
      std::fill_n(&pixels[static_cast<std::size_t>(4 * (y * 64 + x))], 4, std::uint8_t{255});
  }
  Sprite sprite;
  make_sprite(prepare_cdp({64, 64, 4, pixels, 0}), 21, 13, false, 0, 448, best_kernels(), sprite);
  for (const std::uint32_t pixel : sprite.pixels)
    EXPECT_EQ(pixel & 255, pixel >> 24) << "premultiplied white equals its alpha";
}

// Only what the outline encloses is sampled. The corners of the same tight box as outline sample everything.
TEST(Sprite, LeavesOutNothingVisible) {
  RandomStream random{5, Purpose::test, 0, 0};
  Sprite sprite, whole;
  for (int trial = 0; trial < 300; ++trial) {
    // A few specks and bars anywhere, so that pyramid levels spread single pixels at the outline.
    const int height = 20 + static_cast<int>(random.below(90)),
              width = 20 + static_cast<int>(random.below(90));
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(4 * height * width));
    for (std::uint32_t mark = 0; mark < 2 + random.below(6); ++mark) {
      const int x = static_cast<int>(random.below(static_cast<std::uint32_t>(width))),
                y = static_cast<int>(random.below(static_cast<std::uint32_t>(height)));
      const int longest = 1 + static_cast<int>(random.below(20));
      for (int i = 0; i < longest && x + i < width; ++i)
        std::fill_n(&pixels[static_cast<std::size_t>(4 * (y * width + x + i))], 4, std::uint8_t{255});
    }
    PreparedCdp cdp = prepare_cdp({height, width, 4, pixels, 0});
    const double degrees = random.below(360), longer = 4 + random.below(300);
    const bool mirrored = random.below(2) == 1;
    make_sprite(cdp, longer, degrees, mirrored, 0, 448, best_kernels(), sprite);
    // The tight box of the turned outline, turned back.
    const double angle = degrees * 3.14159265358979323846 / 180, cosine = std::cos(angle),
                 sine = std::sin(angle), sign = mirrored ? -1 : 1;
    double left = 1e9, right = -1e9, top = 1e9, bottom = -1e9;
    for (const auto& [x, y] : cdp.outline) {
      left = std::min(left, sign * x * cosine + y * sine);
      right = std::max(right, sign * x * cosine + y * sine);
      top = std::min(top, -sign * x * sine + y * cosine);
      bottom = std::max(bottom, -sign * x * sine + y * cosine);
    }
    cdp.outline.clear();
    for (const auto& [u, v] : {std::pair{left, top}, {right, top}, {right, bottom}, {left, bottom}})
      cdp.outline.emplace_back(sign * (u * cosine - v * sine), u * sine + v * cosine);
    make_sprite(cdp, longer, degrees, mirrored, 0, 448, best_kernels(), whole);
    ASSERT_EQ(sprite.width, whole.width);
    ASSERT_EQ(sprite.height, whole.height);
    ASSERT_EQ(sprite.pixels, whole.pixels)
        << height << " x " << width << ", " << degrees << " degrees to " << longer;
  }
}

AugmentConfig small_config() {
  AugmentConfig config;
  config.resize_shorter = 80;
  config.crop = 64;
  config.p_aug = config.p_mix = 1;
  return config;
}

TEST(Compose, KeepsObjectsInsideAndCountsVisibleAreas) {
  test::MadeUpParts parts;
  const AugmentConfig config = small_config();
  const PartPool pool = parts.pool(12, 3);
  const io::Image canvas(80, 100, 3);
  const PreparedCdp first = prepare_cdp(parts.disc(40, 60, 250, 0, 0)),
                    second = prepare_cdp(parts.disc(50, 30, 0, 250, 0));
  ComposerScratch scratch;
  std::vector<std::uint8_t> pixels(64 * 64 * 3);
  int well_placed = 0, trials = 0;
  for (std::uint32_t epoch = 1; epoch <= 300; ++epoch) {
    for (std::uint64_t item = 0; item < 3; ++item, ++trials) {
      Draws draws = decide(config, pool, 5, epoch, item);
      ASSERT_NE(combination_of(draws), nullptr);
      compose(config, Choices{5, epoch, item}, canvas, first, &second, best_kernels(), scratch, draws,
              pixels.data());
      const CombinationDraws& made = *combination_of(draws);
      for (const auto& box : {made.box1, made.box2}) {
        EXPECT_GE(box[0], 0);
        EXPECT_GE(box[1], 0);
        EXPECT_LE(box[0] + box[2], 64);
        EXPECT_LE(box[1] + box[3], 64);
      }
      EXPECT_NEAR(std::max(made.box1[2], made.box1[3]), made.u1 * 64, 1.0);
      std::int64_t red = 0, green = 0;
      for (std::size_t i = 0; i < 64 * 64; ++i) {
        green += pixels[3 * i + 1] > 125;
        red += pixels[3 * i] > 125 && pixels[3 * i + 1] <= 125;
      }
      EXPECT_NEAR(static_cast<double>(green), static_cast<double>(made.area2),
                  3 + 0.03 * static_cast<double>(green));
      EXPECT_NEAR(static_cast<double>(red), static_cast<double>(made.area1),
                  3 + 0.05 * static_cast<double>(red))
          << "visible, after occlusion";
      well_placed += static_cast<double>(made.area1) > 0.5 * static_cast<double>(scratch.first.area);
      const auto [a, b] = label_weights(made);
      EXPECT_FLOAT_EQ(a + b, 1.0f);
      EXPECT_NEAR(a, static_cast<double>(made.area1) / static_cast<double>(made.area1 + made.area2), 1e-6);
    }
  }
  EXPECT_GT(well_placed, trials * 97 / 100)
      << "the second object hides less than half of the first wherever ten tries find such a place";
}

TEST(Compose, TheFinalFlipMirrorsTheWholePicture) {
  test::MadeUpParts parts;
  AugmentConfig config = small_config();
  const PartPool pool = parts.pool(12, 3);
  io::Image canvas(80, 100, 3);
  for (std::size_t i = 0; i < canvas.pixels.size(); ++i) canvas.pixels[i] = static_cast<std::uint8_t>(i * 7);
  const PreparedCdp first = prepare_cdp(parts.disc(40, 60, 250, 0, 0));
  ComposerScratch scratch;
  std::vector<std::uint8_t> plain(64 * 64 * 3), flipped(plain);
  Draws draws = decide(config, pool, 5, 1, 0);
  draws.flip = false;
  compose(config, Choices{5, 1, 0}, canvas, first, nullptr, best_kernels(), scratch, draws, plain.data());
  draws.flip = true;
  compose(config, Choices{5, 1, 0}, canvas, first, nullptr, best_kernels(), scratch, draws, flipped.data());
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      for (int c = 0; c < 3; ++c)
        ASSERT_EQ(plain[static_cast<std::size_t>((y * 64 + x) * 3 + c)],
                  flipped[static_cast<std::size_t>((y * 64 + 63 - x) * 3 + c)]);
    }
  }
}

TEST(Compose, IsCloseToADoublePrecisionComposer) {
  // The same geometry in doubles, supersampled 8 x 8: a smooth disc pasted without rotation.
  test::MadeUpParts parts;
  AugmentConfig config = small_config();
  config.rotation_degrees = 0;
  config.edge_sigma = 0;
  const PartPool pool = parts.pool(12, 3);
  io::Image canvas(80, 100, 3);
  std::fill(canvas.pixels.begin(), canvas.pixels.end(), std::uint8_t{40});
  const PartView disc = parts.disc(200, 200, 220, 220, 220);
  const PreparedCdp cdp = prepare_cdp(disc);
  ComposerScratch scratch;
  std::vector<std::uint8_t> pixels(64 * 64 * 3);
  Draws draws = decide(config, pool, 5, 3, 1);
  draws.flip = false;
  compose(config, Choices{5, 3, 1}, canvas, cdp, nullptr, best_kernels(), scratch, draws, pixels.data());
  const auto& box = combination_of(draws)->box1;
  double squares = 0;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      double cover = 0;
      for (int k = 0; k < 64; ++k) {
        const double px = (x + (k % 8 + 0.5) / 8 - box[0]) / box[2] * 2 - 1,
                     py = (y + (k / 8 + 0.5) / 8 - box[1]) / box[3] * 2 - 1;
        cover += (px * px + py * py <= 1) / 64.0;
      }
      const double difference = pixels[static_cast<std::size_t>((y * 64 + x) * 3)] - (40 + 180 * cover);
      squares += difference * difference;
    }
  }
  const double psnr = 10 * std::log10(255.0 * 255.0 / (squares / (64 * 64)));
  EXPECT_GT(psnr, 34) << "only the edge pixels may differ, by less than a quarter of their contrast";
}

// Figure 9's "in place": a real CDP on its own background is the picture that it came from.
TEST(Compose, InPlaceARealCdpOnItsOwnBackgroundGivesThePictureBack) {
  constexpr int height = 90, width = 130, left = 70, top = 12, cdp_side = 50;
  io::Image background(height, width, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        background.row(y)[3 * x + c] = static_cast<std::uint8_t>(60 + x / 2 + y / 3 + 20 * c);
    }
  }
  test::MadeUpParts parts;
  // With a margin that is transparent, as decoupling cuts.
  constexpr int margin = 6;
  PartView cut = parts.disc(cdp_side, cdp_side, 200, 90, 30);
  auto& pixels = parts.pixels.emplace_back(
      static_cast<std::size_t>((cdp_side + 2 * margin) * (cdp_side + 2 * margin) * 4));
  io::Image picture = background;
  for (int y = 0; y < cdp_side; ++y) {
    for (int x = 0; x < cdp_side; ++x) {
      const std::uint8_t* from = &cut.pixels[static_cast<std::size_t>(4 * (y * cdp_side + x))];
      std::copy_n(
          from, 4,
          &pixels[static_cast<std::size_t>(4 * ((y + margin) * (cdp_side + 2 * margin) + x + margin))]);
      if (from[3] != 0) std::copy_n(from, 3, picture.row(top + y) + 3 * (left + x));
    }
  }
  cut = {cdp_side + 2 * margin, cdp_side + 2 * margin, 4, pixels, 0};
  cut.lies = {static_cast<double>(left - margin) / width, static_cast<double>(top - margin) / height,
              static_cast<double>(left + cdp_side + margin) / width,
              static_cast<double>(top + cdp_side + margin) / height};
  cut.picture_aspect = static_cast<double>(width) / height;
  const PreparedCdp cdp = prepare_cdp(cut);

  AugmentConfig config = small_config();
  config.placement = Placement::in_place;
  config.p_mix = 0;
  config.flip = 0;
  const PartPool pool({0}, {{{cut}, parts.flat(height, width, 0)}});
  ComposerScratch scratch;
  for (const int pad : {0, 7}) {
    config.pad = pad;
    const Geometry geometry = geometry_of(config);
    const io::Image canvas = canvas_for_training(geometry, background),
                    whole = canvas_for_training(geometry, picture);
    const OwnPlace place = own_place(cut, cdp, config.resize);
    EXPECT_NEAR(place.x, (left + cdp_side / 2.0) / width, 0.01);
    EXPECT_NEAR(place.y, (top + cdp_side / 2.0) / height, 0.01);
    EXPECT_NEAR(place.size, static_cast<double>(cdp_side) / height, 0.01);
    std::set<std::pair<int, int>> crops;
    for (std::uint32_t epoch = 1; epoch <= 40; ++epoch) {
      Draws draws = decide(config, pool, 5, epoch, 0);
      ASSERT_NE(combination_of(draws), nullptr);
      std::vector<std::uint8_t> composed(64 * 64 * 3), natural(composed.size());
      compose(config, Choices{5, epoch, 0}, canvas, cdp, nullptr, best_kernels(), scratch, draws,
              composed.data(), &place);
      crops.insert({draws.crop_x, draws.crop_y});
      const auto& box = combination_of(draws)->box1;
      EXPECT_GE(box[0], 0);
      EXPECT_GE(box[1], 0);
      EXPECT_LE(box[0] + box[2], 64);
      EXPECT_LE(box[1] + box[3], 64);
      EXPECT_NEAR(combination_of(draws)->u1, place.size * 80 / 64, 1e-9);
      crop_into(whole, draws.crop_x, draws.crop_y, 64, natural.data());
      double squares = 0;
      for (std::size_t i = 0; i < natural.size(); ++i) {
        const double difference = natural[i] - composed[i];
        squares += difference * difference;
      }
      EXPECT_GT(10 * std::log10(255.0 * 255.0 / (squares / static_cast<double>(natural.size()))), 30)
          << "only the outline may differ, by a part of a pixel";
    }
    EXPECT_GT(crops.size(), 10u) << "the crop is still drawn";
  }
}

TEST(Compose, InPlaceOnAnotherBackgroundItKeepsItsRelativeMiddleAndSize) {
  test::MadeUpParts parts;
  parts.lies = {0.6, 0.1, 0.9, 0.3};  // 60 x 20 pixels of 200 x 100
  const PartView view = [&] {
    PartView made = parts.disc(20, 60, 250, 0, 0);
    made.picture_aspect = 2;
    return made;
  }();
  const PreparedCdp cdp = prepare_cdp(view);
  const OwnPlace place = own_place(view, cdp, ResizeRule::shorter);
  EXPECT_NEAR(place.x, 0.75, 1e-9);
  EXPECT_NEAR(place.y, 0.2, 1e-9);
  EXPECT_NEAR(place.size, 0.6, 1e-9) << "60 pixels of the shorter side's 100";
  EXPECT_NEAR(own_place(view, cdp, ResizeRule::square).size, 0.3, 1e-9) << "0.3 of either side";
  AugmentConfig config = small_config();
  config.placement = Placement::in_place;
  config.p_mix = 0;
  const PartPool pool({0}, {{{view}, parts.flat(9, 9, 0)}});
  ComposerScratch scratch;
  std::vector<std::uint8_t> pixels(64 * 64 * 3);
  for (const auto& [height, width] : {std::pair{80, 120}, {140, 80}, {80, 80}}) {
    const io::Image canvas(height, width, 3);
    for (std::uint32_t epoch = 1; epoch <= 30; ++epoch) {
      Draws draws = decide(config, pool, 5, epoch, 0);
      compose(config, Choices{5, epoch, 0}, canvas, cdp, nullptr, best_kernels(), scratch, draws,
              pixels.data(), &place);
      const auto& box = combination_of(draws)->box1;
      EXPECT_EQ(box[2], 48) << "0.6 of 80";
      EXPECT_EQ(box[3], 16);
      const double x = draws.crop_x + box[0] + box[2] / 2.0, y = draws.crop_y + box[1] + box[3] / 2.0;
      EXPECT_NEAR(x, std::min(0.75 * width, width - 24.0), 0.51) << "moved inside where it would reach over";
      EXPECT_NEAR(y, 0.2 * height, 0.51);
      EXPECT_GE(draws.crop_x, 0);
      EXPECT_LE(draws.crop_x, width - 64);
      EXPECT_LE(draws.crop_y, height - 64);
    }
  }
  // Larger than the crop: it fills it.
  const OwnPlace huge{0.5, 0.5, 3.0};
  Draws draws = decide(config, pool, 5, 1, 0);
  compose(config, Choices{5, 1, 0}, io::Image(80, 100, 3), cdp, nullptr, best_kernels(), scratch, draws,
          pixels.data(), &huge);
  EXPECT_EQ(combination_of(draws)->box1[2], 64);
  EXPECT_EQ(combination_of(draws)->u1, 1.0);
}

TEST(Compose, LabelsCanCountHiddenPixels) {
  test::MadeUpParts parts;
  AugmentConfig config = small_config();
  const PartPool pool = parts.pool(12, 3);
  const io::Image canvas(80, 100, 3);
  const PreparedCdp first = prepare_cdp(parts.disc(40, 60, 250, 0, 0)),
                    second = prepare_cdp(parts.disc(50, 30, 0, 250, 0));
  ComposerScratch scratch;
  std::vector<std::uint8_t> pixels(64 * 64 * 3), others(pixels);
  int hidden = 0;
  for (std::uint32_t epoch = 1; epoch <= 20; ++epoch) {
    Draws draws = decide(config, pool, 5, epoch, 0), whole = draws;
    config.label_area = LabelArea::visible;
    compose(config, Choices{5, epoch, 0}, canvas, first, &second, best_kernels(), scratch, draws,
            pixels.data());
    config.label_area = LabelArea::whole;
    compose(config, Choices{5, epoch, 0}, canvas, first, &second, best_kernels(), scratch, whole,
            others.data());
    EXPECT_EQ(pixels, others);
    EXPECT_EQ(combination_of(whole)->area1, scratch.first.area);
    EXPECT_EQ(combination_of(whole)->area2, combination_of(draws)->area2);
    hidden += combination_of(draws)->area1 < combination_of(whole)->area1;
  }
  EXPECT_GT(hidden, 3);
}

}  // namespace
}  // namespace deda::augment
