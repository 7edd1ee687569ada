// Resize, border and crop are torchvision's on PIL pictures, byte for byte: checksums of
// tests/golden/torchvision_pictures.py.
#include "augment/geometry.h"

#include <gtest/gtest.h>

#include "augment/golden_pictures.h"
#include "io/formats/text_table.h"
#include "support/crc32.h"

namespace deda::augment {
namespace {

TEST(Geometry, EqualsTorchvisionByteForByte) {
  const io::TextTable table =
      io::read_csv(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/torchvision_geometry.csv");
  std::size_t trained = 0, tested = 0;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t column) { return static_cast<int>(*io::to_integer(cells[column])); };
    const Geometry geometry{cells[0] == "square" ? ResizeRule::square : ResizeRule::shorter, number(1),
                            number(2), number(3)};
    const io::Image picture = test::golden_picture(number(4), number(5), number(6));
    const std::uint32_t expected = static_cast<std::uint32_t>(std::stoul(cells[10], nullptr, 16));
    if (cells[7] == "test") {
      EXPECT_EQ(test::crc32(centre_square(geometry, picture).pixels), expected) << table.where(table.rows[i]);
      ++tested;
    } else {
      const io::Image canvas = canvas_for_training(geometry, picture);
      std::vector<std::uint8_t> pixels(static_cast<std::size_t>(geometry.crop * geometry.crop * 3));
      crop_into(canvas, number(8), number(9), geometry.crop, pixels.data());
      EXPECT_EQ(test::crc32(pixels), expected) << table.where(table.rows[i]);
      ++trained;
    }
  }
  EXPECT_GE(trained, 20u);
  EXPECT_GE(tested, 10u);
}

TEST(Geometry, TheBorderIsBlackOnAllSides) {
  const Geometry geometry{ResizeRule::square, 20, 3, 16};
  const io::Image inner = resized(geometry, test::golden_picture(0, 31, 47)),
                  canvas = canvas_for_training(geometry, test::golden_picture(0, 31, 47));
  ASSERT_EQ(inner.height, 20);
  ASSERT_EQ(inner.width, 20);
  ASSERT_EQ(canvas.height, 26);
  ASSERT_EQ(canvas.width, 26);
  for (int y = 0; y < 26; ++y) {
    for (int x = 0; x < 26; ++x) {
      const bool inside = y >= 3 && y < 23 && x >= 3 && x < 23;
      for (int c = 0; c < 3; ++c)
        EXPECT_EQ(canvas.row(y)[3 * x + c], inside ? inner.row(y - 3)[3 * (x - 3) + c] : 0);
    }
  }
}

TEST(Geometry, RoundsTheMiddleAsTorchvisionDoes) {
  EXPECT_EQ(centre_offset(512, 448), 32);
  EXPECT_EQ(centre_offset(453, 448), 2) << "2.5 rounds to even";
  EXPECT_EQ(centre_offset(455, 448), 4) << "3.5 rounds to even";
}

}  // namespace
}  // namespace deda::augment
