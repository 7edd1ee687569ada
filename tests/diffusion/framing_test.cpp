// Into the model's square and back; clean-up of alpha; silhouettes.
#include "diffusion/transparent/framing.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace deda::diffusion {
namespace {

// An opaque ellipse whose colour changes from left to right, in a picture of the given size.
io::Image ellipse(int height, int width, double cx, double cy, double rx, double ry) {
  io::Image rgba(height, width, 4);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      auto* pixel = rgba.row(y) + 4 * x;
      const double dx = (x + 0.5 - cx) / rx, dy = (y + 0.5 - cy) / ry;
      pixel[0] = static_cast<std::uint8_t>(255 * x / width);
      pixel[1] = 90;
      pixel[2] = 30;
      pixel[3] = dx * dx + dy * dy <= 1 ? 255 : 0;
    }
  }
  return rgba;
}

int opaque_pixels(const io::Image& rgba) {
  int count = 0;
  for (std::size_t i = 3; i < rgba.pixels.size(); i += 4) count += rgba.pixels[i] >= 128;
  return count;
}

TEST(Framing, ThereAndBackKeepsPlaceSizeAndColour) {
  struct Case {
    int height, width;
    double cx, cy, rx, ry;
    std::int64_t resolution;
  };
  // Shrunk, enlarged, at the edge of its record, flat.
  for (const Case& c : {Case{200, 240, 120, 100, 90, 60, 64}, Case{40, 30, 15, 20, 12, 16, 64},
                        Case{50, 50, 25, 25, 25, 25, 64}, Case{30, 200, 100, 15, 95, 8, 128}}) {
    const io::Image rgba = ellipse(c.height, c.width, c.cx, c.cy, c.rx, c.ry);
    const std::array<std::int32_t, 4> crop{300, 100, 300 + c.width, 100 + c.height};
    const FramedCdp framed = frame_cdp(rgba, crop, c.resolution, 0.1);
    ASSERT_EQ(framed.rgba.width, c.resolution);
    ASSERT_EQ(framed.rgba.height, c.resolution);
    EXPECT_NEAR(framed.frame.side, 2 * std::max(c.rx, c.ry) * 1.2, 2);
    const UnframedCdp back = unframe_cdp(framed.rgba, framed.frame);
    const double pixel = std::max(
        1.0, framed.frame.side / static_cast<double>(c.resolution));  // of the square, in the source's
    EXPECT_NEAR(back.box[0], 300 + c.cx - c.rx, 2 * pixel);
    EXPECT_NEAR(back.box[1], 100 + c.cy - c.ry, 2 * pixel);
    EXPECT_NEAR(back.box[2], 300 + c.cx + c.rx, 2 * pixel);
    EXPECT_NEAR(back.box[3], 100 + c.cy + c.ry, 2 * pixel);
    // Resizing moves the rim by less than a third of the square's pixel.
    const double rim = 3.14 * (c.rx + c.ry);
    EXPECT_NEAR(static_cast<double>(back.mask_area), opaque_pixels(rgba), 0.3 * pixel * rim);
    EXPECT_LE(back.rgba.width, c.resolution);
    // Colour at the centre, where it is width / 2 of the ramp.
    const auto* centre = back.rgba.row(back.rgba.height / 2) + 4 * (back.rgba.width / 2);
    EXPECT_NEAR(centre[0], 255 * c.cx / c.width, 6);
    EXPECT_NEAR(centre[1], 90, 1);
  }
}

TEST(Framing, ShrunkRecordsGoBackToTheSourcesScale) {
  const io::Image rgba = ellipse(50, 50, 25, 25, 20, 20);
  const FramedCdp framed = frame_cdp(rgba, {0, 0, 200, 200}, 64, 0.1);  // a record at a quarter of its size
  EXPECT_NEAR(framed.frame.side, 4 * 48, 4);
  const UnframedCdp back = unframe_cdp(framed.rgba, framed.frame);
  EXPECT_NEAR(back.box[2] - back.box[0], 160, 8);
  EXPECT_NEAR(static_cast<double>(back.mask_area), 16 * opaque_pixels(rgba), 0.05 * 16 * opaque_pixels(rgba));
}

TEST(Framing, NothingOpaqueIsSaid) {
  EXPECT_THROW(frame_cdp(io::Image(20, 20, 4), {0, 0, 20, 20}, 64, 0.1), DataError);
  EXPECT_TRUE(unframe_cdp(io::Image(64, 64, 4), {0, 0, 20}).rgba.empty());
}

TEST(Framing, CleanUpDropsHazeAndSpecksAlone) {
  io::Image rgba = ellipse(64, 64, 32, 32, 20, 20);
  const io::Image before = rgba;
  const auto alpha = [&](int y, int x) -> std::uint8_t& { return rgba.row(y)[4 * x + 3]; };
  alpha(2, 2) = 255;                                // a speck
  for (int x = 0; x < 64; ++x) alpha(60, x) = 4;    // haze below 0.02 * 255
  for (int x = 1; x < 60; ++x) alpha(57, x) = 100;  // a part of 59 pixels: below 5 % of 1,256
  for (int y = 1; y < 10; ++y) {
    for (int x = 50; x < 60; ++x) alpha(y, x) = 200;  // a part of 90 pixels stays
  }
  clean_alpha(rgba, {});
  EXPECT_EQ(alpha(2, 2), 0);
  EXPECT_EQ(alpha(60, 30), 0);
  EXPECT_EQ(alpha(57, 30), 0);
  EXPECT_EQ(alpha(5, 55), 200);
  EXPECT_EQ(alpha(32, 32), 255);
  EXPECT_EQ(opaque_pixels(rgba), opaque_pixels(before) + 90);
  io::Image nothing(16, 16, 4);
  clean_alpha(nothing, {});
  EXPECT_EQ(opaque_pixels(nothing), 0);
}

TEST(Framing, ComparesSilhouettes) {
  const io::Image source = ellipse(64, 64, 32, 32, 20, 20), shifted = ellipse(64, 64, 42, 32, 20, 20);
  const auto same = compare_silhouettes(source, source);
  EXPECT_DOUBLE_EQ(same.area_ratio, 1);
  EXPECT_DOUBLE_EQ(same.mean_alpha_inside, 1);
  const auto moved = compare_silhouettes(source, shifted);
  EXPECT_NEAR(moved.area_ratio, 1, 0.02);
  const auto gone = compare_silhouettes(source, io::Image(64, 64, 4));
  EXPECT_EQ(gone.mean_alpha_inside, 0);
  EXPECT_EQ(gone.area_ratio, 0);
  EXPECT_EQ(compare_silhouettes(io::Image(64, 64, 4), source).area_ratio, 0);
}

}  // namespace
}  // namespace deda::diffusion
