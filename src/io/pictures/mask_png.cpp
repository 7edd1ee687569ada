#include "io/pictures/mask_png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace deda::io {

namespace {

struct Source {
  std::span<const std::uint8_t> bytes;
  std::size_t at = 0;
};

struct Failure {
  char text[200] = "";
};

void read_from_memory(png_structp png, png_bytep to, png_size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->at) png_error(png, "the file ends too early");
  std::memcpy(to, source->bytes.data() + source->at, count);
  source->at += count;
}

[[noreturn]] void remember(png_structp png, png_const_charp message) {
  auto* failure = static_cast<Failure*>(png_get_error_ptr(png));
  std::strncpy(failure->text, message, sizeof failure->text - 1);
  png_longjmp(png, 1);
}

void ignore(png_structp, png_const_charp) {}

// Everything that libpng may leave by longjmp, with no C++ object in its frame.
bool decode(png_structp png, png_infop info, Source* source, std::vector<std::uint8_t>* pixels, int* width,
            int* height, int* channels) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, source, read_from_memory);
  png_read_info(png, info);
  const int bit_depth = png_get_bit_depth(png, info);
  if (bit_depth == 16) png_set_scale_16(png);
  if (bit_depth < 8) png_set_packing(png);  // one value a byte, unscaled
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  *width = static_cast<int>(png_get_image_width(png, info));
  *height = static_cast<int>(png_get_image_height(png, info));
  *channels = png_get_channels(png, info);
  pixels->resize(png_get_rowbytes(png, info) * static_cast<std::size_t>(*height));
  for (int pass = png_set_interlace_handling(png); pass > 0; --pass) {
    for (int y = 0; y < *height; ++y)
      png_read_row(png, pixels->data() + png_get_rowbytes(png, info) * static_cast<std::size_t>(y), nullptr);
  }
  return true;
}

}  // namespace

Image decode_mask_png(std::span<const std::uint8_t> bytes, const std::string& name) {
  Failure failure;
  Source source{bytes};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &failure, remember, ignore);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw IoError("libpng could not be started (out of memory)", name);
  }
  std::vector<std::uint8_t> pixels;
  int width = 0, height = 0, channels = 0;
  const bool ok = decode(png, info, &source, &pixels, &width, &height, &channels);
  png_destroy_read_struct(&png, &info, nullptr);
  if (!ok) throw DataError(std::string{"is a broken PNG: "} + failure.text, name);
  Image mask(height, width, 1);
  const bool has_alpha = channels == 2 || channels == 4;
  const int colours = has_alpha ? channels - 1 : channels;
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
    const std::uint8_t* pixel = &pixels[i * static_cast<std::size_t>(channels)];
    mask.pixels[i] = *std::max_element(pixel, pixel + colours);
  }
  return mask;
}

}  // namespace deda::io
