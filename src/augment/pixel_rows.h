// The inner loops of composition, one output row at a time, in integers: the same bytes on every machine.
// Each has a plain path and an AVX2 path, chosen once at run time; a test holds them together bit for bit.
#pragma once

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
  // Mirrors a row of RGB pixels in place.
  void (*mirror)(std::uint8_t* row, int count);
};

const RowKernels& plain_kernels();
// AVX2 where the processor has it, else plain. DEDA_SIMD=plain forces the plain path.
const RowKernels& best_kernels();
bool has_avx2();

}  // namespace deda::augment
