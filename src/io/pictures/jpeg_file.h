// JPEG files by libjpeg. OpenCV reads damaged ones to grey areas without an error and lets libjpeg print
// "Corrupt JPEG data" without a file name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::io {

// 8-bit RGB: grey is repeated, CMYK and YCCK are converted as Adobe's inverted ones (as Pillow and OpenCV
// take them). Where libjpeg misses data or meets codes that cannot be, all rows below are made up: a picture
// with more than 2 % of such rows is refused, fewer are told in `notes`, as is what libjpeg skipped without
// harm. Throws DataError naming `name`. `max_pixels` as DecodeLimits.
Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, std::uint64_t max_pixels,
                  std::vector<std::string>& notes);

}  // namespace deda::io
