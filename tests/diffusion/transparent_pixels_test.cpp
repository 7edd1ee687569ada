#include "diffusion/transparent/transparent_pixels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "diffusion/edit_fixture.h"

namespace deda::diffusion {
namespace {

TEST(TransparentPixels, GoThereAndBackWhereOpaque) {
  const io::Image first = test::golden_picture(0), second = test::golden_picture(1);
  const auto pixels = transparent_pixels({first, second});
  ASSERT_EQ(pixels.argb.sizes(), (std::vector<std::int64_t>{2, 4, 32, 32}));
  // Values times 255 are cut off: half a level more, so that 1/255 * 255 is not read as 0.
  const auto back = rgba_pictures(pixels.argb + 0.5 / 255);
  for (std::size_t b = 0; b < 2; ++b) {
    const io::Image& source = b == 0 ? first : second;
    for (std::size_t i = 0; i < source.pixels.size(); i += 4) {
      ASSERT_EQ(back[b].pixels[i + 3], source.pixels[i + 3]);
      if (source.pixels[i + 3] < 255) continue;
      for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(back[b].pixels[i + c], source.pixels[i + c]);
    }
  }
}

TEST(TransparentPixels, FeedIsGreyWhereTransparentAndColoursArePaddedThere) {
  io::Image rgba(16, 16, 4);
  for (int y = 4; y < 12; ++y) {
    for (int x = 4; x < 12; ++x) {
      auto* pixel = rgba.row(y) + 4 * x;
      pixel[0] = 255;
      pixel[1] = 51;
      pixel[3] = 255;
    }
  }
  const auto pixels = transparent_pixels({rgba});
  const auto feed = pixels.feed[0], argb = pixels.argb[0];
  EXPECT_EQ(feed[0][0][0].item<float>(), 0);
  EXPECT_FLOAT_EQ(feed[0][8][8].item<float>(), 1);
  EXPECT_FLOAT_EQ(feed[1][8][8].item<float>(), 2 * 0.2f - 1);
  EXPECT_EQ(argb[0][0][0].item<float>(), 0);
  for (const auto& [y, x] :
       {std::pair{0, 0}, {15, 15}, {8, 0}}) {  // one colour alone: everywhere that colour
    EXPECT_NEAR(argb[1][y][x].item<float>(), 1, 1e-5);
    EXPECT_NEAR(argb[2][y][x].item<float>(), 0.2, 1e-5);
  }
}

TEST(TransparentPixels, AreCutOffNotRounded) {
  const auto picture = rgba_pictures(at::tensor({0.999, 1.0, -1.0, 2.0}).view({1, 4, 1, 1})).front();
  EXPECT_EQ(picture.pixels, (std::vector<std::uint8_t>{255, 0, 255, 254}));
}

TEST(TransparentPixels, BatchesAreOfOneSize) {
  EXPECT_THROW(transparent_pixels({}), ModelError);
  EXPECT_THROW(transparent_pixels({io::Image(8, 8, 4), io::Image(8, 16, 4)}), ModelError);
  EXPECT_THROW(transparent_pixels({io::Image(8, 8, 3)}), ModelError);
}

}  // namespace
}  // namespace deda::diffusion
