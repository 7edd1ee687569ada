// PNG masks with their stored values: palette indices stay indices (OpenCV would expand them to colours).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/pictures/image.h"

namespace deda::io {

// One channel: palette index, or grey value (1-, 2- and 4-bit values are not scaled up; 16 bit is scaled
// down). Colour PNGs give the largest of their colour channels. Throws DataError naming `name`.
Image decode_mask_png(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace deda::io
