// Contact sheets: sizes are as asked, transparency shows the board, nothing is stretched.
#include "report/contact_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace deda::report {
namespace {

io::Image filled(int height, int width, std::initializer_list<int> colour) {
  io::Image image(height, width, static_cast<int>(colour.size()));
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] =
        static_cast<std::uint8_t>(*(colour.begin() + static_cast<std::ptrdiff_t>(i % colour.size())));
  return image;
}

TEST(Checkerboard, ShowsTheBoardWhereTransparentAndTheColourWhereOpaque) {
  io::Image image = filled(2, 2, {10, 20, 30, 0});
  image.pixels[3] = 255;
  const io::Image shown = on_checkerboard(image, 1);
  ASSERT_EQ(shown.channels, 3);
  EXPECT_EQ(shown.pixels[0], 10);
  EXPECT_EQ(shown.pixels[2], 30);
  EXPECT_EQ(shown.pixels[3], shown.pixels[4]);  // grey
  EXPECT_NE(shown.pixels[3], shown.pixels[9]);  // (0,1) dark, (1,1) light
}

TEST(Cell, KeepsTheAspectRatioAndCentres) {
  const io::Image cell = fit_into_cell(filled(100, 50, {0, 0, 0}), 80);
  ASSERT_EQ(cell.height, 80);
  ASSERT_EQ(cell.width, 80);
  EXPECT_EQ(cell.row(40)[0], 255);  // white margin at the left
  EXPECT_EQ(cell.row(40)[40 * 3], 0);
  EXPECT_EQ(std::count(cell.row(40), cell.row(40) + 240, 0), 40 * 3);
}

TEST(Sheet, HasOneCellPerColumnAndLeavesMissingOnesBlank) {
  const io::Image one =
      render_sheet({"image", "CDP"},
                   {{"a/very/long/path/that/does/not/fit/into/the/width/of/the/sheet/at/all.jpg",
                     {filled(9, 9, {0, 0, 0}), {}}}},
                   64);
  EXPECT_EQ(one.width, 8 + 2 * 72);
  EXPECT_EQ(one.channels, 3);
  EXPECT_GT(one.height, 64);
  EXPECT_NO_THROW(render_sheet({"only"}, {}, 64));
  EXPECT_NO_THROW(render_sheet({"only"}, {{"", {filled(1, 3000, {1, 2, 3})}}}, 32));
}

TEST(Sheet, TellsInTextWhatItsLettersCannot) {
  EXPECT_EQ(undrawable_captions({{"ant/1.png", {}}, {"bee/2.png", {}}}), "");
  EXPECT_EQ(undrawable_captions({{"ant/1.png", {}}, {"käfer/2.png", {}}}),
            " From above: ant/1.png; käfer/2.png.");
  SheetRow cells;
  cells.below = {"a", "ü"};
  EXPECT_EQ(undrawable_captions({cells}), " From above: a; ü.");
}

TEST(Sheet, HasCaptionsBelowSingleCellsAndNoRoomForTitlesThatAreNotThere) {
  SheetRow row;
  row.cells = {filled(9, 9, {0, 0, 0})};
  const io::Image without = render_sheet({""}, {row}, 64);
  row.below = {"a.png"};
  const io::Image with = render_sheet({""}, {row}, 64);
  EXPECT_GT(with.height, without.height);
  EXPECT_GT(render_sheet({"title"}, {row}, 64).height, with.height);
}

}  // namespace
}  // namespace deda::report
