// What an image file claims about itself, read from its first bytes before any decoder sees it.
// Why: a header that claims 65,000 x 65,000 pixels must not make a decoder allocate 12 GB; a suffix may lie.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace deda::io {

enum class ImageFormat : std::uint8_t { unknown, jpeg, png, bmp, webp, tiff, gif, pnm };
std::string_view name_of(ImageFormat format);

struct ImageHeader {
  ImageFormat format = ImageFormat::unknown;
  std::uint64_t width = 0, height = 0;  // 0 where the file is too short to tell
  bool animated = false;                // WebP with an animation chunk
  bool complete = true;             // false: the end marker is missing (JPEG EOI, PNG IEND): a truncated file
  std::uint32_t largest_value = 0;  // PNM: the value that stands for white
  int jpeg_components = 0;          // 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK
  int exif_orientation = 1;         // 1..8 as in EXIF: of JPEG, PNG (eXIf) and WebP (EXIF)
  bool lossy = false;               // stored with a loss: JPEG, WebP's VP8, TIFF with JPEG inside

  // 5..8 turn the picture by a quarter: its upright form is `height` wide.
  bool turns_sides() const { return exif_orientation >= 5; }
};

// Never throws and never reads outside `bytes`.
ImageHeader read_image_header(std::span<const std::uint8_t> bytes);

}  // namespace deda::io
