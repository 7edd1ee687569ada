// Image files in and out, through OpenCV. Decides by content, not by suffix; trusts no header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "io/pictures/image_header.h"

namespace deda::io {

struct DecodeLimits {
  std::uint64_t max_pixels = 200'000'000;  // width x height a header may claim before anything is allocated
  std::uint64_t max_file_bytes = 1ull << 30;
};

struct DecodedImage {
  Image image;  // 3 channels RGB, always
  std::vector<std::string>
      notes;  // what was done to get there: "first frame of GIF", "CMYK converted", "alpha dropped", ...
};

enum class Orientation { ignore_exif, apply_exif };  // PIL's decode ignores EXIF: the default of the recipes

// Reads JPEG (MPO: its first picture), PNG, BMP, WebP, TIFF, PNM (and the first frame of GIF) as RGB: grey is
// repeated, CMYK converted, 16 bit scaled, alpha dropped. Throws DataError with path and reason: empty,
// truncated, not an image, claims too many pixels.
DecodedImage read_image(const std::filesystem::path& path, Orientation orientation = Orientation::ignore_exif,
                        const DecodeLimits& limits = {});
DecodedImage decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                          Orientation orientation = Orientation::ignore_exif,
                          const DecodeLimits& limits = {});
// A mask or trimap as stored: one channel, values untouched (palette PNGs give palette indices); mask_file.h
// has what else such a file says.
Image read_mask(const std::filesystem::path& path, const DecodeLimits& limits = {});
// What the file's header claims, without reading its pixels: for decisions by size and orientation. Format
// `unknown` where it is no image. Throws DataError or IoError where there is no file to read.
ImageHeader header_of_file(const std::filesystem::path& path);
// PNG (lossless; 1, 3 or 4 channels) and JPEG (quality 0..100) by suffix. Atomic (core/files.h).
void write_image(const std::filesystem::path& path, const Image& image, int jpeg_quality = 95);
std::vector<std::uint8_t> encode_png(const Image& image);
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality);

}  // namespace deda::io
