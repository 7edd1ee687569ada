// The inner loops of composition, one output row at a time, in integers: the same bytes on every machine.
// Each has a plain path and an AVX2 path, chosen once at run time; a test holds them together bit for bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace deda::augment {

// Rows are fetched ahead in steps of this; a machine with other lines fetches some twice or some not.
inline constexpr std::size_t cache_line_bytes = 64;

// Where a row of samples starts in a premultiplied RGBA picture and how it advances; 16.16 fixed point.
struct RowWalk {
  const std::uint32_t* pixels;  // padded picture, 4 bytes R, G, B, A a pixel
  std::int32_t stride;          // pixels a row
  std::int32_t x, y;            // first sample; (0, 0) is the centre of pixel (0, 0)
  std::int32_t dx, dy;          // from one sample to the next
};

// Weights of a blur in 1/256: values[0] of the pixel itself, values[k] of each of the two that are k away.
// All of them, both sides, add up to 256.
struct SymmetricWeights {
  static constexpr int most_radius = 15;
  int radius = 0;
  std::array<std::uint16_t, most_radius + 1> values{};
};

struct RowKernels {
  // Bilinear samples with 6-bit weights: ((p00*(64-fx) + p01*fx)*(64-fy) + (p10*(64-fx) + p11*fx)*fy + 2048)
  // >> 12. Every sample must lie in 0 <= x < (width-1) << 16, 0 <= y < (height-1) << 16.
  void (*sample)(const RowWalk& walk, int count, std::uint32_t* out);
  // canvas (RGB) := source + canvas * (255 - alpha) / 255, rounded exactly: t = c*(255-a) + 128; (t + (t >>
  // 8)) >> 8.
  void (*blend)(std::uint8_t* canvas, const std::uint32_t* source, int count);
  // cover[i] = alpha > 127 ? 1 : 0; returns their sum.
  std::int32_t (*cover)(const std::uint32_t* source, int count, std::uint8_t* cover);
  // Number of i with a[i] and b[i] both 1.
  std::int32_t (*overlap)(const std::uint8_t* a, const std::uint8_t* b, int count);
  // Each channel of out[i]: weighted mean of source[i - radius .. i + radius], (sum + 128) >> 8.
  void (*blur_along)(const std::uint32_t* source, const SymmetricWeights& weights, int count,
                     std::uint32_t* out);
  // The same mean down the column i of rows[0 .. 2 radius], the blurred pixel b under alpha b.a, then gives
  // pixels[i] its alpha: c := b.a * (255 c + (255 - a) b) / (255 a + (255 - a) b.a), rounded, for every
  // channel of a premultiplied pixel, alpha among them. Its colour is the pixel's own as far as that was
  // opaque, and for the rest that of the object around it.
  void (*soften)(const std::uint32_t* const* rows, const SymmetricWeights& weights, int count,
                 std::uint32_t* pixels);
  // Mirrors a row of RGB pixels in place.
  void (*mirror)(std::uint8_t* row, int count);
};

const RowKernels& plain_kernels();
// AVX2 where the processor has it, else plain. DEDA_SIMD=plain forces the plain path.
const RowKernels& best_kernels();
bool has_avx2();

}  // namespace deda::augment
