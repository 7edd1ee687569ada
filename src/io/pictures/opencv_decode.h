// The formats that are left to OpenCV (BMP, WebP, TIFF, PNM), without its lines on stderr. Internal to src/io.
#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <span>
#include <string>

#include "io/pictures/image_codec.h"

namespace deda::io {

// Checks every claim of the header; throws DataError naming `name`.
ImageHeader checked_header(std::span<const std::uint8_t> bytes, const std::string& name,
                           const DecodeLimits& limits);

// OpenCV's messages go nowhere: what they say is in our errors.
void silence_opencv();

// Unchanged: any depth and number of channels, colours in the order BGR. Throws DataError naming `name`.
cv::Mat decode_by_opencv(std::span<const std::uint8_t> bytes, const std::string& name, ImageFormat format,
                         const DecodeLimits& limits);

}  // namespace deda::io
