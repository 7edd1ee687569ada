#include "io/pictures/gif.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/error.h"

namespace deda::io {

namespace {

// A cursor that refuses to leave the file.
class Cursor {
 public:
  Cursor(std::span<const std::uint8_t> bytes, const std::string& name) : bytes_{bytes}, name_{name} {}
  std::uint8_t byte() {
    if (at_ >= bytes_.size()) throw DataError("is a truncated GIF", name_);
    return bytes_[at_++];
  }
  int little16() {
    const int low = byte();
    return low | byte() << 8;
  }
  void skip(std::size_t count) {
    if (count > bytes_.size() - at_) throw DataError("is a truncated GIF", name_);
    at_ += count;
  }
  void skip_blocks() {
    for (std::size_t size = byte(); size != 0; size = byte()) skip(size);
  }

 private:
  std::span<const std::uint8_t> bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
};

using Palette = std::vector<std::array<std::uint8_t, 3>>;

Palette read_palette(Cursor& in, int packed) {
  Palette palette(static_cast<std::size_t>(2) << (packed & 7));
  for (auto& colour : palette) {
    for (std::uint8_t& value : colour) value = in.byte();
  }
  return palette;
}

// Variable-length LZW as GIF packs it: codes from the low bits upwards, in blocks of up to 255 bytes.
std::vector<std::uint8_t> decompress(Cursor& in, std::size_t pixels, const std::string& name) {
  constexpr int max_code_bits = 12, max_codes = 1 << max_code_bits;
  const int minimum_bits = in.byte();
  if (minimum_bits < 1 || minimum_bits > 8)
    throw DataError("is a broken GIF: code size " + std::to_string(minimum_bits), name);
  const int clear = 1 << minimum_bits, end = clear + 1;
  std::array<std::int16_t, max_codes> prefix{};
  std::array<std::uint8_t, max_codes> suffix{}, stack{};
  for (int code = 0; code < clear; ++code)
    suffix[static_cast<std::size_t>(code)] = static_cast<std::uint8_t>(code);
  std::vector<std::uint8_t> out;
  out.reserve(pixels);
  int code_bits = minimum_bits + 1, next = end + 1, previous = -1, held_bits = 0;
  std::uint32_t held = 0;
  std::uint8_t first = 0;
  std::size_t block = 0;
  while (out.size() < pixels) {
    while (held_bits < code_bits) {
      if (block == 0 && (block = in.byte()) == 0)
        throw DataError(
            "is a truncated GIF: " + std::to_string(out.size()) + " of " + std::to_string(pixels) + " pixels",
            name);
      held |= static_cast<std::uint32_t>(in.byte()) << held_bits;
      held_bits += 8;
      --block;
    }
    int code = static_cast<int>(held & ((1u << code_bits) - 1));
    held >>= code_bits;
    held_bits -= code_bits;
    if (code == clear) {
      code_bits = minimum_bits + 1;
      next = end + 1;
      previous = -1;
      continue;
    }
    if (code == end)
      throw DataError(
          "is a truncated GIF: " + std::to_string(out.size()) + " of " + std::to_string(pixels) + " pixels",
          name);
    if (code > next || (previous < 0 && code >= clear))
      throw DataError("is a broken GIF: a code that was not defined", name);
    const int current = code;
    std::size_t depth = 0;
    if (code == next) {  // the string that is being defined: previous + its first byte
      stack[depth++] = first;
      code = previous;
    }
    while (code >= clear) {
      stack[depth++] = suffix[static_cast<std::size_t>(code)];
      code = prefix[static_cast<std::size_t>(code)];
    }
    first = suffix[static_cast<std::size_t>(code)];
    stack[depth++] = first;
    while (depth > 0 && out.size() < pixels) out.push_back(stack[--depth]);
    if (previous >= 0 && next < max_codes) {
      prefix[static_cast<std::size_t>(next)] = static_cast<std::int16_t>(previous);
      suffix[static_cast<std::size_t>(next)] = first;
      if (++next == 1 << code_bits && code_bits < max_code_bits) ++code_bits;
    }
    previous = current;
  }
  return out;
}

// Rows of an interlaced picture arrive in four passes.
std::vector<int> row_order(int height, bool interlaced) {
  std::vector<int> rows;
  if (!interlaced) {
    for (int y = 0; y < height; ++y) rows.push_back(y);
    return rows;
  }
  constexpr std::array<std::pair<int, int>, 4> passes = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  for (const auto& [start, step] : passes) {
    for (int y = start; y < height; y += step) rows.push_back(y);
  }
  return rows;
}

}  // namespace

Image decode_gif_first_frame(std::span<const std::uint8_t> bytes, const std::string& name) {
  constexpr int palette_flag = 0x80, interlace_flag = 0x40;
  Cursor in{bytes, name};
  in.skip(6);
  const int width = in.little16(), height = in.little16(), packed = in.byte(), background = in.byte();
  in.byte();  // pixel aspect ratio
  Palette global;
  if ((packed & palette_flag) != 0) global = read_palette(in, packed);
  if (width == 0 || height == 0) throw DataError("is a GIF without pixels", name);
  for (;;) {
    const int block = in.byte();
    if (block == 0x21) {  // an extension: label and blocks
      in.byte();
      in.skip_blocks();
      continue;
    }
    if (block != 0x2c) throw DataError("is a GIF without a picture", name);
    const int left = in.little16(), top = in.little16(), frame_width = in.little16(),
              frame_height = in.little16(), frame_packed = in.byte();
    const Palette palette = (frame_packed & palette_flag) != 0 ? read_palette(in, frame_packed) : global;
    if (palette.empty()) throw DataError("is a GIF without a palette", name);
    if (frame_width == 0 || frame_height == 0 || left + frame_width > width || top + frame_height > height)
      throw DataError("is a broken GIF: its frame leaves the canvas", name);
    const auto pixels =
        decompress(in, static_cast<std::size_t>(frame_width) * static_cast<std::size_t>(frame_height), name);
    Image image(height, width, 3);
    if (static_cast<std::size_t>(background) < global.size()) {
      for (std::size_t i = 0; i < image.pixels.size(); ++i)
        image.pixels[i] = global[static_cast<std::size_t>(background)][i % 3];
    }
    const std::vector<int> rows = row_order(frame_height, (frame_packed & interlace_flag) != 0);
    for (std::size_t y = 0; y < rows.size(); ++y) {
      std::uint8_t* to = image.row(top + rows[y]) + static_cast<std::size_t>(left) * 3;
      for (int x = 0; x < frame_width; ++x, to += 3) {
        const std::size_t index = std::min<std::size_t>(
            pixels[y * static_cast<std::size_t>(frame_width) + static_cast<std::size_t>(x)],
            palette.size() - 1);
        std::copy_n(palette[index].data(), 3, to);
      }
    }
    return image;
  }
}

}  // namespace deda::io
