// The first frame of a GIF. OpenCV 4.6 has no GIF decoder, and Oxford-IIIT Pet ships a GIF under a .jpg name.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/pictures/image.h"

namespace deda::io {

// RGB, on the GIF's canvas; the canvas outside of the frame has the background colour. Throws DataError
// naming `name`.
Image decode_gif_first_frame(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace deda::io
