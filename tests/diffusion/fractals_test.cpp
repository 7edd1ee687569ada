// Fractals: pure functions that fill their square, and folders of one's own.
#include "diffusion/peers/fractals.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"
#include "diffusion/peers/fractal_folder.h"
#include "diffusion/peers/hybrid_picture.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"
#include "support/crc32.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using diffusion::draw_fractal;
using diffusion::FractalFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string picture_checksum(const io::Image& picture) {
  return fmt::format("{:08x}", test::crc32(picture.pixels));
}

// Part of results: the same bytes with GCC and Clang, without optimisation and with the processor's own fused
// multiply-add.
TEST(Fractals, AreTheSamePicturesForGood) {
  EXPECT_EQ(picture_checksum(draw_fractal(1, 0, 64)), "f80b1894");
  EXPECT_EQ(picture_checksum(draw_fractal(1, 1, 64)), "1604f61d");
  EXPECT_EQ(picture_checksum(draw_fractal(2, 0, 64)), "64fb5d61");
  EXPECT_EQ(picture_checksum(draw_fractal(0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 33)), "68a5ea7b");
  EXPECT_EQ(picture_checksum(draw_fractal(1, 0)), "3d26da44");
}

TEST(Fractals, DoNotDependOnThreads) {
  constexpr std::size_t count = 12;
  std::vector<std::string> one(count), several(count);
  parallel_for(1, 0, count, 1, [&](std::size_t i) { one[i] = picture_checksum(draw_fractal(3, i, 48)); });
  parallel_for(4, 0, count, 1, [&](std::size_t i) { several[i] = picture_checksum(draw_fractal(3, i, 48)); });
  EXPECT_EQ(one, several);
  EXPECT_EQ(std::set<std::string>(one.begin(), one.end()).size(), count);
}

// Neither empty nor a dot nor one colour.
TEST(Fractals, FillTheirSquare) {
  constexpr int side = 64, cells = 8, pictures = 150;
  for (int number = 0; number < pictures; ++number) {
    const auto picture = draw_fractal(5, static_cast<std::uint64_t>(number), side);
    ASSERT_EQ(picture.pixels.size(), std::size_t{side} * side * 3);
    EXPECT_FALSE(diffusion::unusable_picture(picture)) << number;
    // The ground is smooth; where neighbours differ, the attractor has been drawn.
    int busy = 0;
    for (int cell = 0; cell < cells * cells; ++cell) {
      int steps = 0;
      for (int y = cell / cells * cells; y < (cell / cells + 1) * cells; ++y) {
        for (int x = cell % cells * cells; x + 1 < (cell % cells + 1) * cells; ++x) {
          for (int c = 0; c < 3; ++c)
            steps += std::abs(picture.row(y)[3 * x + c] - picture.row(y)[3 * x + 3 + c]) > 24;
        }
      }
      busy += steps > 0;
    }
    EXPECT_GE(busy, cells * cells / 4) << number;
    std::array<double, 3> sum{};
    for (std::size_t i = 0; i < picture.pixels.size(); ++i) sum[i % 3] += picture.pixels[i];
    const auto [least, most] = std::minmax_element(sum.begin(), sum.end());
    EXPECT_GT(*most - *least, 3.0 * side * side) << number << " has no colour";
  }
}

TEST(Fractals, OfAnotherSideAreTheSameFiner) {
  const auto correlation = [](const io::Image& a, const io::Image& b) {
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    const auto n = static_cast<double>(a.pixels.size());
    for (std::size_t i = 0; i < a.pixels.size(); ++i) {
      const double x = a.pixels[i], y = b.pixels[i];
      sa += x, sb += y, saa += x * x, sbb += y * y, sab += x * y;
    }
    return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
  };
  for (std::uint64_t number = 0; number < 4; ++number) {
    const auto small = io::resize(draw_fractal(1, number, 128), 32, 32, io::Filter::box);
    EXPECT_GT(correlation(small, io::resize(draw_fractal(1, number), 32, 32, io::Filter::box)), 0.95);
    EXPECT_LT(correlation(small, io::resize(draw_fractal(1, number + 1), 32, 32, io::Filter::box)), 0.9);
  }
}

TEST(Fractals, SidesOutsideOfTheLimitsAreRefused) {
  for (const int side : {-1, 0, 15, 1025, 1 << 30}) EXPECT_THROW(draw_fractal(1, 1, side), ConfigError);
  EXPECT_EQ(draw_fractal(1, 1, 16).width, 16);
}

class FractalFolders : public testing::Test {
 protected:
  void write(const std::string& name, int height, int width, std::uint8_t value) const {
    io::Image picture(height, width, 3);
    for (std::size_t i = 0; i < picture.pixels.size(); ++i)
      picture.pixels[i] = static_cast<std::uint8_t>(value + i % 7 * 9);
    std::filesystem::create_directories((folder / name).parent_path());
    io::write_image(folder / name, picture);
  }
  test::TemporaryFolder folder;
};

TEST_F(FractalFolders, GiveTheirPicturesSortedAndSquare) {
  write("b.png", 40, 70, 10);
  write("a/z.png", 16, 16, 20);
  write("C.png", 300, 280, 30);
  write_atomically(folder / "notes.txt", "no picture");
  const FractalFolder fractals{folder.path(), 64, 2};
  EXPECT_THAT(fractals.files(), ElementsAre("C.png", "a/z.png", "b.png"));
  EXPECT_EQ(fractals.note(), "");
  const auto picture = fractals.picture(2);
  EXPECT_EQ(picture.pixels,
            io::resize(io::read_image(folder / "b.png").image, 64, 64, io::Filter::bicubic).pixels);
  std::array<int, 3> chosen{};
  for (std::uint64_t number = 0; number < 600; ++number) ++chosen.at(fractals.choose(9, number));
  for (const int count : chosen) EXPECT_NEAR(count, 200, 50);  // over four standard deviations
  EXPECT_EQ(FractalFolder(folder.path(), 64, 1).choose(9, 77), fractals.choose(9, 77));
}

TEST_F(FractalFolders, TellWhatCannotBeRead) {
  write("good.png", 32, 32, 10);
  write_atomically(folder / "broken.png", read_text(folder / "good.png").substr(0, 60));
  write_atomically(folder / "empty.jpg", "");
  const FractalFolder fractals{folder.path(), 32};
  EXPECT_THAT(fractals.files(), ElementsAre("good.png"));
  EXPECT_EQ(fractals.unreadable().size(), 2u);
  EXPECT_THAT(fractals.note(), testing::StartsWith("2 of 3 cannot be read: broken.png ("));
  EXPECT_THAT(fractals.note(), HasSubstr("empty.jpg ("));
  std::filesystem::remove(folder / "good.png");
  EXPECT_THROW(fractals.picture(0), Error);
  try {
    const FractalFolder none{folder.path(), 32};
    FAIL() << "a folder without a usable picture was taken";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(folder.path().string()), HasSubstr("2 of 2 cannot be read")));
  }
}

TEST_F(FractalFolders, WithoutPicturesOrNowhereAreRefused) {
  EXPECT_THROW(FractalFolder{folder.path()}, DataError);
  EXPECT_THROW(FractalFolder{folder / "missing"}, DataError);
  write("good.png", 32, 32, 10);
  EXPECT_THROW(FractalFolder{folder / "good.png"}, DataError);
  EXPECT_THROW((FractalFolder{folder.path(), 0}), ConfigError);
}

}  // namespace
}  // namespace deda
