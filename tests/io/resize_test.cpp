// Resize is Pillow's, bit for bit: checksums of tests/golden/pillow_resize.py.
#include "io/pictures/resize.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "io/formats/text_table.h"
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

}  // namespace
}  // namespace deda::io
