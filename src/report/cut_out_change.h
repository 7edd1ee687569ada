// How far one cut-out is from another, in colours and in silhouette: the one measure of reports and sheets.
#pragma once

#include "io/pictures/image.h"

namespace deda::report {

struct Change {
  double psnr_db = 0;  // over pixels that are opaque in either, on mid grey; 99 where nothing differs
  double overlap = 0;  // of the silhouettes (alpha >= 1/2): intersection over union; 0 where there is none
};

// Both RGBA and of one size, DataError otherwise.
Change change_of(const io::Image& before, const io::Image& after);

}  // namespace deda::report
