#include "io/pictures/png_file.h"

#include <png.h>

#include <algorithm>
#include <bit>
#include <csetjmp>
#include <cstring>

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

enum class As { stored, picture };

// What libpng gives, in rows without padding; 16 bit in the machine's own order.
struct Rows {
  int height = 0, width = 0, channels = 0, stored_depth = 0, depth = 0;
  bool has_palette = false;
  std::vector<std::uint8_t> bytes;
  std::vector<std::array<std::uint8_t, 4>> palette;
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

void read_palette(png_structp png, png_infop info, Rows* rows) {
  png_colorp colours = nullptr;
  png_bytep alphas = nullptr;
  int count = 0, alpha_count = 0;
  if (png_get_PLTE(png, info, &colours, &count) == 0) return;
  png_get_tRNS(png, info, &alphas, &alpha_count, nullptr);
  for (int i = 0; i < count; ++i)
    rows->palette.push_back(
        {colours[i].red, colours[i].green, colours[i].blue, i < alpha_count ? alphas[i] : std::uint8_t{255}});
}

// Everything that libpng may leave by longjmp, with no C++ object in its frame.
bool decode(png_structp png, png_infop info, Source* source, As as, Rows* rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_read_fn(png, source, read_from_memory);
  png_read_info(png, info);
  rows->stored_depth = png_get_bit_depth(png, info);
  rows->has_palette = png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE;
  if (as == As::picture) {
    png_set_expand(png);
  } else {
    if (rows->has_palette) read_palette(png, info, rows);
    if (rows->stored_depth < 8) png_set_packing(png);  // one value a byte, unscaled
  }
  if (rows->stored_depth == 16 && std::endian::native == std::endian::little) png_set_swap(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  rows->width = static_cast<int>(png_get_image_width(png, info));
  rows->height = static_cast<int>(png_get_image_height(png, info));
  rows->channels = png_get_channels(png, info);
  rows->depth = png_get_bit_depth(png, info);
  const std::size_t row_bytes = png_get_rowbytes(png, info);
  rows->bytes.resize(row_bytes * static_cast<std::size_t>(rows->height));
  for (int pass = 0; pass < passes; ++pass) {
    for (int y = 0; y < rows->height; ++y)
      png_read_row(png, rows->bytes.data() + row_bytes * static_cast<std::size_t>(y), nullptr);
  }
  return true;
}

Rows rows_of(std::span<const std::uint8_t> bytes, const std::string& name, As as) {
  Failure failure;
  Source source{bytes};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &failure, remember, ignore);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw IoError("libpng could not be started (out of memory)", name);
  }
  Rows rows;
  bool ok = false;
  try {
    ok = decode(png, info, &source, as, &rows);
  } catch (const std::bad_alloc&) {
    png_destroy_read_struct(&png, &info, nullptr);
    throw DataError("is a PNG that does not fit into memory", name);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (!ok) throw DataError(std::string{"is a broken PNG: "} + failure.text, name);
  return rows;
}

std::uint16_t sample_of(const Rows& rows, std::size_t i) {
  if (rows.depth < 16) return rows.bytes[i];
  std::uint16_t value = 0;
  std::memcpy(&value, &rows.bytes[2 * i], sizeof value);
  return value;
}

}  // namespace

PngSamples decode_png_samples(std::span<const std::uint8_t> bytes, const std::string& name) {
  Rows rows = rows_of(bytes, name, As::stored);
  PngSamples png;
  png.height = rows.height;
  png.width = rows.width;
  png.channels = rows.channels;
  png.bit_depth = rows.stored_depth;
  png.palette = std::move(rows.palette);
  png.samples.resize(rows.bytes.size() / (rows.depth == 16 ? 2 : 1));
  for (std::size_t i = 0; i < png.samples.size(); ++i) png.samples[i] = sample_of(rows, i);
  return png;
}

Image decode_png_picture(std::span<const std::uint8_t> bytes, const std::string& name,
                         std::vector<std::string>& notes) {
  const Rows rows = rows_of(bytes, name, As::picture);
  const auto channels = static_cast<std::size_t>(rows.channels);
  const bool grey = rows.channels <= 2, has_alpha = rows.channels == 2 || rows.channels == 4;
  if (rows.depth == 16) notes.emplace_back("16 bit scaled to 8");
  if (has_alpha) notes.emplace_back("alpha dropped");
  constexpr unsigned scale = 257;  // 65535 = 255 * 257
  const auto eight_bit = [&](std::size_t i) {
    return rows.depth == 16 ? static_cast<std::uint8_t>((sample_of(rows, i) + scale / 2) / scale)
                            : rows.bytes[i];
  };
  Image image(rows.height, rows.width, 3);
  const std::size_t pixels = image.pixels.size() / 3;
  for (std::size_t i = 0; i < pixels; ++i) {
    for (std::size_t c = 0; c < 3; ++c) image.pixels[3 * i + c] = eight_bit(channels * i + (grey ? 0 : c));
  }
  return image;
}

}  // namespace deda::io
