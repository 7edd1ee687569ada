// Contact sheets: pictures side by side under column titles, so that a person sees at a glance what a stage
// made. Used by `deda inspect` and by the report page.
#pragma once

#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::report {

// RGBA over a grey checkerboard, as picture editors show transparency. RGB passes through.
io::Image on_checkerboard(const io::Image& image, int square = 8);

// Shrinks (never enlarges beyond 3x) to fit a square cell of `side` pixels, centred on white. RGB out.
io::Image fit_into_cell(const io::Image& image, int side);

struct SheetRow {
  std::string caption;                    // below the row, e.g. the picture's file name; may be empty
  std::vector<io::Image> cells;           // one per column; an empty image leaves the cell blank
  std::vector<std::string> instead = {};  // by column, may be shorter: said in a cell that has no image
  std::vector<std::string> below =
      {};  // by column, may be shorter: captions of single cells, instead of `caption`
};

// One RGB picture of (column titles + rows). Cells are `side` pixels wide. OpenCV's letters are ASCII's:
// others stand as one question mark each.
io::Image render_sheet(const std::vector<std::string>& titles, const std::vector<SheetRow>& rows,
                       int side = 160);

// The captions of the sheet, for the text beside it, where OpenCV cannot draw one of them: " From above:
// ..."; else empty.
std::string undrawable_captions(const std::vector<SheetRow>& rows);

}  // namespace deda::report
