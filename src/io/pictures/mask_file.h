// Mask files of every kind with the numbers that they store: what those mean is for the reader to decide
// (decoupling/annotated_masks.h, decoupling/mask_meaning.h).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "io/pictures/image_codec.h"

namespace deda::io {

struct MaskFile {
  ImageFormat format = ImageFormat::unknown;
  bool lossy =
      false;  // JPEG, lossy WebP, JPEG inside of TIFF: numbers near edges are not those that were drawn
  int height = 0, width = 0;
  int channels = 0;                    // 1 grey or palette index, 2 grey and alpha, 3 RGB, 4 RGBA
  int white = 255;                     // the largest number that the file could store: 1, 3, 15, 255 or 65535
  std::vector<std::uint16_t> samples;  // [height, width, channels], neither scaled nor looked up
  std::vector<std::array<std::uint8_t, 4>>
      palette;  // RGBA by index, of PNG; empty: the numbers are no indices

  std::size_t pixels() const { return static_cast<std::size_t>(height) * static_cast<std::size_t>(width); }
};

// Numbers of floating-point TIFFs are brought to 0..65535 by their largest one. EXIF is ignored. Throws
// DataError with path and reason as read_image() does.
MaskFile read_mask_file(const std::filesystem::path& path, const DecodeLimits& limits = {});

// One channel of 8 bit for encodings that are defined by numbers (trimaps, class images): palette index or
// grey value, of colours the largest channel; what exceeds 255 stands as 255.
Image stored_values(const MaskFile& file);

}  // namespace deda::io
