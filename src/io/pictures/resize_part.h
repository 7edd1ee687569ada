// A part of a resized picture, to the bytes of resize() (io/pictures/resize.h) and at the cost of the part: a
// strip of 1 x 100,000 pixels whose shorter side becomes 224 has five billion pixels, of which a square in
// the middle is wanted.
#pragma once

#include <cstdint>

#include "io/pictures/image.h"
#include "io/pictures/resize.h"

namespace deda::io {

struct Part {
  std::int64_t top = 0, left = 0;  // in the resized picture
  int height = 0, width = 0;
};

// Pixels `part` of resize(image, height, width, filter). DataError when there is no picture or the part is
// empty or leaves the resized picture.
Image resize_part(const Image& image, std::int64_t height, std::int64_t width, const Part& part,
                  Filter filter);

}  // namespace deda::io
