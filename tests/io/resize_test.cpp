// Resize is Pillow's, bit for bit: checksums of tests/golden/pillow_resize.py.
#include "io/pictures/resize.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "io/formats/text_table.h"
#include "io/pictures/resize_part.h"
#include "support/crc32.h"

namespace deda::io {
namespace {

// The script's formula.
Image picture(int height, int width, int channels) {
  Image image(height, width, channels);
  for (std::uint64_t i = 0; i < image.pixels.size(); ++i) {
    std::uint64_t value = (i * 2654435761u + 12345u) & 0xFFFFFFFFu;
    value ^= value >> 15;
    image.pixels[i] = static_cast<std::uint8_t>(value * 2246822519u >> 24 & 255);
  }
  return image;
}

Filter filter_named(const std::string& name) {
  if (name == "bicubic") return Filter::bicubic;
  if (name == "lanczos") return Filter::lanczos;
  return name == "box" ? Filter::box : Filter::bilinear;
}

TEST(Resize, EqualsPillowBitForBit) {
  const TextTable table = read_csv(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/pillow_resize.csv");
  ASSERT_EQ(table.rows.size(), 1 + 4 * 3 * 13u);
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t column) { return static_cast<int>(*to_integer(cells[column])); };
    const Image out =
        resize(picture(number(2), number(3), number(1)), number(4), number(5), filter_named(cells[0]));
    EXPECT_EQ(test::crc32(out.pixels), std::stoul(cells[6], nullptr, 16)) << table.where(table.rows[i]);
  }
}

TEST(Resize, GivesTheShorterSideAndTruncatesTheLonger) {
  int height = 0, width = 0;
  shorter_side_size(375, 500, 512, height, width);
  EXPECT_EQ(height, 512);
  EXPECT_EQ(width, 682) << "682.67 truncated";
  shorter_side_size(500, 333, 512, height, width);
  EXPECT_EQ(width, 512);
  EXPECT_EQ(height, 768) << "768.77 truncated";
  shorter_side_size(7, 7, 5, height, width);
  EXPECT_EQ(height, 5);
  EXPECT_EQ(width, 5);
}

TEST(Resize, RefusesWhatHasNoPixels) {
  EXPECT_THROW(resize(Image{}, 3, 3), DataError);
  EXPECT_THROW(resize(picture(3, 3, 3), 0, 3), DataError);
  EXPECT_THROW(resize_shorter_side(Image{}, 3), DataError);
}

TEST(Resize, APartIsThatPartOfTheWhole) {
  const auto cut = [](const Image& whole, const Part& part) {
    Image out(part.height, part.width, whole.channels);
    for (int y = 0; y < part.height; ++y)
      std::copy_n(whole.row(static_cast<int>(part.top) + y) + part.left * whole.channels,
                  part.width * whole.channels, out.row(y));
    return out.pixels;
  };
  for (const auto filter : {Filter::bilinear, Filter::bicubic, Filter::lanczos, Filter::box}) {
    for (const int channels : {1, 3, 4}) {
      const Image image = picture(37, 53, channels);
      for (const auto& [height, width] :
           {std::pair{20, 90}, {90, 20}, {37, 53}, {37, 80}, {80, 53}, {1, 1}}) {
        const Image whole = resize(image, height, width, filter);
        for (const Part& part :
             {Part{0, 0, height, width}, Part{height / 3, width / 4, (height + 1) / 2, (width + 1) / 2},
              Part{height - 1, width - 1, 1, 1}})
          EXPECT_EQ(resize_part(image, height, width, part, filter).pixels, cut(whole, part))
              << static_cast<int>(filter) << ", " << channels << " channels, " << height << " x " << width
              << " from " << part.top << ", " << part.left;
      }
    }
  }
}

TEST(Resize, APartOfAPictureTooLargeToBeMadeIsMade) {
  const Image strip = picture(1, 100'000, 3);  // 224 x 22,400,000 as a whole
  const Image part = resize_part(strip, 224, 22'400'000, {0, 11'199'888, 224, 224}, Filter::bicubic);
  EXPECT_EQ(part.height, 224);
  EXPECT_EQ(part.width, 224);
  EXPECT_TRUE(std::equal(part.row(0), part.row(1), part.row(223))) << "one row gives equal rows";
}

TEST(Resize, RefusesAPartThatIsNotInside) {
  const Image image = picture(5, 5, 3);
  for (const Part& part : {Part{0, 0, 0, 1}, Part{-1, 0, 1, 1}, Part{0, 9, 1, 2}, Part{10, 0, 1, 1}})
    EXPECT_THROW(resize_part(image, 10, 10, part, Filter::bicubic), DataError);
  EXPECT_THROW(resize_part(Image{}, 10, 10, {0, 0, 1, 1}, Filter::bicubic), DataError);
}

}  // namespace
}  // namespace deda::io
