// The inner loops of picture operations over bytes of interleaved RGB. Plain loops and the same compiled for
// AVX2, chosen once at run time (DEDA_SIMD=plain forces the plain ones); a test holds them together bit for
// bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace deda::augment {

// Tables of new values by old value, for R, G and B.
using ChannelTables = std::array<std::array<std::uint8_t, 256>, 3>;

struct ChannelExtremes {
  std::array<std::uint8_t, 3> least{255, 255, 255}, most{0, 0, 0};
};

// Where the pixels of a row come from.
struct PixelWalk {
  const std::uint8_t* pixels;
  std::int32_t row_bytes;
  std::int32_t x, y, dx, dy;
};

struct OperationLoops {
  // bytes[i] &= mask
  void (*keep_bits)(std::uint8_t* bytes, std::size_t count, std::uint8_t mask);
  // 255 - v for v >= threshold (0..256)
  void (*invert_from)(std::uint8_t* bytes, std::size_t count, int threshold);
  // Pillow's Image.blend(constant picture, this, factor): float32, truncated, cut to 0..255.
  void (*blend_with_value)(std::uint8_t* bytes, std::size_t count, std::uint8_t value, float factor);
  // The same with another picture of as many bytes.
  void (*blend_with)(const std::uint8_t* other, std::uint8_t* bytes, std::size_t count, float factor);
  // Pillow's luminance, (19595 R + 38470 G + 7471 B + 32768) >> 16, written three times a pixel.
  void (*grey)(const std::uint8_t* pixels, std::size_t pixel_count, std::uint8_t* out);
  // Its sum.
  std::uint64_t (*grey_sum)(const std::uint8_t* pixels, std::size_t pixel_count);
  // Pillow's SMOOTH: (5 centre + 8 neighbours) / 13, rounded, of the row's bytes 3 .. count - 4; the three
  // at either end are the centre's.
  void (*smooth)(const std::uint8_t* above, const std::uint8_t* row, const std::uint8_t* below,
                 std::size_t count, std::uint8_t* out);
  ChannelExtremes (*extremes)(const std::uint8_t* pixels, std::size_t pixel_count);
  // Every byte by its channel's table.
  void (*look_up)(std::uint8_t* pixels, std::size_t pixel_count, const ChannelTables& tables);
  // Pixels of `out` from those at (x, y), (x + dx, y + dy), ... of a picture; 16.16 fixed point, truncated.
  // All of them must lie inside; the byte behind the picture's last may be read.
  void (*gather)(const PixelWalk& walk, std::size_t pixel_count, std::uint8_t* out);
};

const OperationLoops& plain_operation_loops();
// AVX2 where the processor has it, else plain.
const OperationLoops& best_operation_loops();

// How often each value occurs in each channel.
std::array<std::array<std::uint32_t, 256>, 3> histograms(const std::uint8_t* pixels, std::size_t pixel_count);

}  // namespace deda::augment
