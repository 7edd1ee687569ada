#include "augment/pixel_rows.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deda::augment {

namespace {

constexpr std::int32_t weight_one = 64;
constexpr int fraction_shift = 10;  // 16 fractional bits to 6
constexpr std::int32_t fraction_mask = 63;
constexpr int result_shift = 12;
constexpr std::int32_t result_half = 1 << (result_shift - 1);
constexpr int mean_shift = 8;  // SymmetricWeights are in 1/256
constexpr unsigned mean_half = 1u << (mean_shift - 1);

std::uint32_t sample_one(const RowWalk& walk, std::int32_t x, std::int32_t y) {
  const std::uint32_t* at = walk.pixels + static_cast<std::ptrdiff_t>(y >> 16) * walk.stride + (x >> 16);
  const std::int32_t fx = x >> fraction_shift & fraction_mask, fy = y >> fraction_shift & fraction_mask;
  std::uint8_t p00[4], p01[4], p10[4], p11[4], out[4];
  std::memcpy(p00, at, 4);
  std::memcpy(p01, at + 1, 4);
  std::memcpy(p10, at + walk.stride, 4);
  std::memcpy(p11, at + walk.stride + 1, 4);
  for (int c = 0; c < 4; ++c) {
    const std::int32_t upper = p00[c] * (weight_one - fx) + p01[c] * fx,
                       lower = p10[c] * (weight_one - fx) + p11[c] * fx;
    out[c] =
        static_cast<std::uint8_t>((upper * (weight_one - fy) + lower * fy + result_half) >> result_shift);
  }
  std::uint32_t packed;
  std::memcpy(&packed, out, 4);
  return packed;
}

void sample_plain(const RowWalk& walk, int count, std::uint32_t* out) {
  for (int i = 0; i < count; ++i) out[i] = sample_one(walk, walk.x + i * walk.dx, walk.y + i * walk.dy);
}

void blend_one(std::uint8_t* canvas, std::uint32_t source) {
  std::uint8_t s[4];
  std::memcpy(s, &source, 4);
  const unsigned rest = 255u - s[3];
  for (int c = 0; c < 3; ++c) {
    const unsigned t = canvas[c] * rest + 128;
    canvas[c] = static_cast<std::uint8_t>(std::min(255u, s[c] + ((t + (t >> 8)) >> 8)));
  }
}

void blend_plain(std::uint8_t* canvas, const std::uint32_t* source, int count) {
  for (int i = 0; i < count; ++i) blend_one(canvas + 3 * i, source[i]);
}

std::int32_t cover_plain(const std::uint32_t* source, int count, std::uint8_t* cover) {
  std::int32_t sum = 0;
  for (int i = 0; i < count; ++i) {
    std::uint8_t s[4];
    std::memcpy(s, &source[i], 4);
    cover[i] = s[3] >> 7;
    sum += cover[i];
  }
  return sum;
}

std::int32_t overlap_plain(const std::uint8_t* a, const std::uint8_t* b, int count) {
  std::int32_t sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] & b[i];
  return sum;
}

// `pixel_at(k)`: the pixel k places away.
template <class PixelAt>
std::array<unsigned, 4> weighted_mean(const SymmetricWeights& weights, const PixelAt& pixel_at) {
  std::array<unsigned, 4> sum;
  sum.fill(mean_half);
  for (int k = -weights.radius; k <= weights.radius; ++k) {
    const std::uint32_t pixel = pixel_at(k);
    std::uint8_t channels[4];
    std::memcpy(channels, &pixel, 4);
    for (std::size_t c = 0; c < 4; ++c)
      sum[c] += channels[c] * unsigned{weights.values[static_cast<std::size_t>(std::abs(k))]};
  }
  for (unsigned& value : sum) value >>= mean_shift;
  return sum;
}

void blur_along_plain(const std::uint32_t* source, const SymmetricWeights& weights, int count,
                      std::uint32_t* out) {
  for (int i = 0; i < count; ++i) {
    const auto mean = weighted_mean(weights, [&](int k) { return source[i + k]; });
    out[i] = mean[0] | mean[1] << 8 | mean[2] << 16 | mean[3] << 24;
  }
}

void soften_from(int first, const std::uint32_t* const* rows, const SymmetricWeights& weights, int count,
                 std::uint32_t* pixels) {
  for (int i = first; i < count; ++i) {
    const auto blurred = weighted_mean(weights, [&](int k) { return rows[weights.radius + k][i]; });
    std::uint8_t s[4];
    std::memcpy(s, &pixels[i], 4);
    const unsigned rest = 255u - s[3], whole = std::max(1u, 255u * s[3] + rest * blurred[3]);
    for (std::size_t c = 0; c < 4; ++c) {
      const unsigned colour = 255u * s[c] + rest * blurred[c];
      s[c] = static_cast<std::uint8_t>((colour * blurred[3] + whole / 2) / whole);
    }
    std::memcpy(&pixels[i], s, 4);
  }
}

void soften_plain(const std::uint32_t* const* rows, const SymmetricWeights& weights, int count,
                  std::uint32_t* pixels) {
  soften_from(0, rows, weights, count, pixels);
}

void mirror_plain(std::uint8_t* row, int count) {
  for (int i = 0, j = count - 1; i < j; ++i, --j) {
    for (int c = 0; c < 3; ++c) std::swap(row[3 * i + c], row[3 * j + c]);
  }
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) void sample_avx2(const RowWalk& walk, int count, std::uint32_t* out) {
  const __m128i lane = _mm_set_epi32(3, 2, 1, 0);
  __m128i x = _mm_add_epi32(_mm_set1_epi32(walk.x), _mm_mullo_epi32(lane, _mm_set1_epi32(walk.dx)));
  __m128i y = _mm_add_epi32(_mm_set1_epi32(walk.y), _mm_mullo_epi32(lane, _mm_set1_epi32(walk.dy)));
  const __m128i step_x = _mm_set1_epi32(4 * walk.dx), step_y = _mm_set1_epi32(4 * walk.dy),
                stride = _mm_set1_epi32(walk.stride), mask = _mm_set1_epi32(fraction_mask);
  // Two neighbouring pixels r0 g0 b0 a0 r1 g1 b1 a1 become pairs r0 r1 g0 g1 b0 b1 a0 a1.
  const __m256i pairs = _mm256_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15, 0, 4, 1, 5, 2,
                                         6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  const __m256i half = _mm256_set1_epi32(result_half);
  const auto* base = reinterpret_cast<const long long*>(walk.pixels);
  const auto* below = reinterpret_cast<const long long*>(walk.pixels + walk.stride);
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m128i index =
        _mm_add_epi32(_mm_mullo_epi32(_mm_srai_epi32(y, 16), stride), _mm_srai_epi32(x, 16));
    const __m128i fx = _mm_and_si128(_mm_srai_epi32(x, fraction_shift), mask),
                  fy = _mm_and_si128(_mm_srai_epi32(y, fraction_shift), mask);
    const __m256i upper = _mm256_shuffle_epi8(_mm256_i32gather_epi64(base, index, 4), pairs);
    const __m256i lower = _mm256_shuffle_epi8(_mm256_i32gather_epi64(below, index, 4), pairs);
    // Weights (64 - fx, fx) as bytes, four times per pixel.
    const __m128i byte_pair =
        _mm_or_si128(_mm_sub_epi32(_mm_set1_epi32(weight_one), fx), _mm_slli_epi32(fx, 8));
    const __m128i byte_quad = _mm_or_si128(byte_pair, _mm_slli_epi32(byte_pair, 16));
    const __m256i weight_x =
        _mm256_set_m128i(_mm_unpackhi_epi32(byte_quad, byte_quad), _mm_unpacklo_epi32(byte_quad, byte_quad));
    const __m256i row0 = _mm256_maddubs_epi16(upper, weight_x), row1 = _mm256_maddubs_epi16(lower, weight_x);
    // Weights (64 - fy, fy) as 16-bit pairs: pixels 0 and 2 for the low halves, 1 and 3 for the high ones.
    const __m128i short_pair =
        _mm_or_si128(_mm_sub_epi32(_mm_set1_epi32(weight_one), fy), _mm_slli_epi32(fy, 16));
    const __m256i weight_low =
        _mm256_set_m128i(_mm_shuffle_epi32(short_pair, 0xaa), _mm_shuffle_epi32(short_pair, 0x00));
    const __m256i weight_high =
        _mm256_set_m128i(_mm_shuffle_epi32(short_pair, 0xff), _mm_shuffle_epi32(short_pair, 0x55));
    const __m256i low = _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(row0, row1), weight_low), half),
        result_shift);
    const __m256i high = _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(row0, row1), weight_high), half),
        result_shift);
    const __m256i shorts = _mm256_packus_epi32(low, high);
    const __m256i bytes = _mm256_packus_epi16(shorts, shorts);
    const __m128i packed =
        _mm_unpacklo_epi64(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), packed);
    x = _mm_add_epi32(x, step_x);
    y = _mm_add_epi32(y, step_y);
  }
  for (; i < count; ++i) out[i] = sample_one(walk, walk.x + i * walk.dx, walk.y + i * walk.dy);
}

__attribute__((target("avx2"))) inline void store12(std::uint8_t* to, __m128i value) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), value);
  const std::uint32_t last = static_cast<std::uint32_t>(_mm_extract_epi32(value, 2));
  std::memcpy(to + 8, &last, 4);
}

__attribute__((target("avx2"))) void blend_avx2(std::uint8_t* canvas, const std::uint32_t* source,
                                                int count) {
  const __m128i rgb_of_rgba = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const __m128i alpha_of_rgba = _mm_setr_epi8(3, 3, 3, 7, 7, 7, 11, 11, 11, 15, 15, 15, -1, -1, -1, -1);
  const __m256i full = _mm256_set1_epi16(255), half = _mm256_set1_epi16(128);
  int i = 0;
  // Four pixels at a time: 16 bytes are loaded, so the last pixels of a row go one by one, but only their 12
  // are stored. A wider store would reach into the next load, which then had to wait for it: half the speed.
  for (; i + 6 <= count; i += 4) {
    const __m128i rgba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i));
    if (_mm_testz_si128(rgba, rgba) != 0) continue;  // premultiplied nothing
    std::uint8_t* at = canvas + 3 * i;
    const __m128i under = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m256i alpha = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(rgba, alpha_of_rgba));
    const __m256i t = _mm256_add_epi16(
        _mm256_mullo_epi16(_mm256_cvtepu8_epi16(under), _mm256_sub_epi16(full, alpha)), half);
    const __m256i kept = _mm256_srli_epi16(_mm256_add_epi16(t, _mm256_srli_epi16(t, 8)), 8);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(kept), _mm256_extracti128_si256(kept, 1));
    store12(at, _mm_adds_epu8(bytes, _mm_shuffle_epi8(rgba, rgb_of_rgba)));
  }
  for (; i < count; ++i) blend_one(canvas + 3 * i, source[i]);
}

__attribute__((target("avx2"))) std::int32_t cover_avx2(const std::uint32_t* source, int count,
                                                        std::uint8_t* cover) {
  int i = 0;
  __m128i sum = _mm_setzero_si128();
  for (; i + 16 <= count; i += 16) {
    const auto* from = reinterpret_cast<const __m128i*>(source + i);
    const __m128i a = _mm_srli_epi32(_mm_loadu_si128(from), 31),
                  b = _mm_srli_epi32(_mm_loadu_si128(from + 1), 31);
    const __m128i c = _mm_srli_epi32(_mm_loadu_si128(from + 2), 31),
                  d = _mm_srli_epi32(_mm_loadu_si128(from + 3), 31);
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(cover + i), bytes);
    sum = _mm_add_epi64(sum, _mm_sad_epu8(bytes, _mm_setzero_si128()));
  }
  return static_cast<std::int32_t>(_mm_cvtsi128_si64(sum) + _mm_extract_epi64(sum, 1)) +
         cover_plain(source + i, count - i, cover + i);
}

__attribute__((target("avx2"))) std::int32_t overlap_avx2(const std::uint8_t* a, const std::uint8_t* b,
                                                          int count) {
  int i = 0;
  __m256i sum = _mm256_setzero_si256();
  for (; i + 32 <= count; i += 32) {
    const __m256i both = _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + i)),
                                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + i)));
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(both, _mm256_setzero_si256()));
  }
  const __m128i folded = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return static_cast<std::int32_t>(_mm_cvtsi128_si64(folded) + _mm_extract_epi64(folded, 1)) +
         overlap_plain(a + i, b + i, count - i);
}

__attribute__((target("avx2"))) inline __m256i channels_of(const std::uint32_t* four_pixels) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(four_pixels)));
}

// Sixteen channels of four pixels as 16-bit numbers. No sum exceeds 256 * 255 + 128.
template <class PixelsAt>
__attribute__((target("avx2"))) inline __m256i weighted_means(const SymmetricWeights& weights,
                                                              const PixelsAt& pixels_at) {
  __m256i sum = _mm256_add_epi16(
      _mm256_mullo_epi16(channels_of(pixels_at(0)), _mm256_set1_epi16(static_cast<short>(weights.values[0]))),
      _mm256_set1_epi16(static_cast<short>(mean_half)));
  for (int k = 1; k <= weights.radius; ++k) {
    const __m256i both = _mm256_add_epi16(channels_of(pixels_at(-k)), channels_of(pixels_at(k)));
    const __m256i weight = _mm256_set1_epi16(static_cast<short>(weights.values[static_cast<std::size_t>(k)]));
    sum = _mm256_add_epi16(sum, _mm256_mullo_epi16(both, weight));
  }
  return _mm256_srli_epi16(sum, mean_shift);
}

__attribute__((target("avx2"))) void blur_along_avx2(const std::uint32_t* source,
                                                     const SymmetricWeights& weights, int count,
                                                     std::uint32_t* out) {
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i mean = weighted_means(weights, [&](int k) { return source + i + k; });
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm_packus_epi16(_mm256_castsi256_si128(mean), _mm256_extracti128_si256(mean, 1)));
  }
  blur_along_plain(source + i, weights, count - i, out + i);
}

// Eight channels: (colour * alpha + whole / 2) / whole. Numerators stay below 2^24 and quotients below 256,
// so that a quotient which is no whole number is farther from the next one than float's rounding reaches: cut
// off, it is the integer quotient.
__attribute__((target("avx2"))) inline __m256i quotients(__m128i colour, __m128i alpha, __m128i whole) {
  const __m256i divisor = _mm256_max_epi32(_mm256_cvtepu16_epi32(whole), _mm256_set1_epi32(1));
  const __m256i numerator =
      _mm256_add_epi32(_mm256_mullo_epi32(_mm256_cvtepu16_epi32(colour), _mm256_cvtepu16_epi32(alpha)),
                       _mm256_srli_epi32(divisor, 1));
  return _mm256_cvttps_epi32(_mm256_div_ps(_mm256_cvtepi32_ps(numerator), _mm256_cvtepi32_ps(divisor)));
}

__attribute__((target("avx2"))) void soften_avx2(const std::uint32_t* const* rows,
                                                 const SymmetricWeights& weights, int count,
                                                 std::uint32_t* pixels) {
  const __m256i alpha_of_pixel = _mm256_setr_epi8(6, 7, 6, 7, 6, 7, 6, 7, 14, 15, 14, 15, 14, 15, 14, 15, 6,
                                                  7, 6, 7, 6, 7, 6, 7, 14, 15, 14, 15, 14, 15, 14, 15);
  const __m256i full = _mm256_set1_epi16(255);
  int i = 0;
  for (; i + 4 <= count; i += 4) {
    const __m256i blurred = weighted_means(weights, [&](int k) { return rows[weights.radius + k] + i; });
    const __m256i sharp = channels_of(pixels + i);
    const __m256i alpha = _mm256_shuffle_epi8(sharp, alpha_of_pixel),
                  soft_alpha = _mm256_shuffle_epi8(blurred, alpha_of_pixel);
    const __m256i rest = _mm256_sub_epi16(full, alpha);
    // Neither exceeds 255 * 255: 16 bits hold them.
    const __m256i colour =
        _mm256_add_epi16(_mm256_mullo_epi16(sharp, full), _mm256_mullo_epi16(blurred, rest));
    const __m256i whole =
        _mm256_add_epi16(_mm256_mullo_epi16(alpha, full), _mm256_mullo_epi16(soft_alpha, rest));
    const __m256i low = quotients(_mm256_castsi256_si128(colour), _mm256_castsi256_si128(soft_alpha),
                                  _mm256_castsi256_si128(whole)),
                  high =
                      quotients(_mm256_extracti128_si256(colour, 1), _mm256_extracti128_si256(soft_alpha, 1),
                                _mm256_extracti128_si256(whole, 1));
    const __m128i low_shorts =
                      _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)),
                  high_shorts =
                      _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(pixels + i), _mm_packus_epi16(low_shorts, high_shorts));
  }
  soften_from(i, rows, weights, count, pixels);
}

__attribute__((target("avx2"))) void mirror_avx2(std::uint8_t* row, int count) {
  const __m128i reversed = _mm_setr_epi8(9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2, -1, -1, -1, -1);
  int i = 0, j = count;  // [0, i) and [j, count) are done
  // 16 bytes are loaded for 12: the left load may read into the middle, the right one stays 4 bytes short of
  // the end.
  for (; i + 10 <= j; i += 4, j -= 4) {
    const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 3 * i));
    const __m128i right =
        _mm_srli_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 3 * (j - 4) - 4)), 4);
    store12(row + 3 * i, _mm_shuffle_epi8(right, reversed));
    store12(row + 3 * (j - 4), _mm_shuffle_epi8(left, reversed));
  }
  mirror_plain(row + 3 * i, j - i);
}

#endif

}  // namespace

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") != 0;
#else
  return false;
#endif
}

const RowKernels& plain_kernels() {
  static const RowKernels kernels{sample_plain,     blend_plain,  cover_plain, overlap_plain,
                                  blur_along_plain, soften_plain, mirror_plain};
  return kernels;
}

const RowKernels& best_kernels() {
#if defined(__x86_64__)
  static const RowKernels vector{sample_avx2,     blend_avx2,  cover_avx2, overlap_avx2,
                                 blur_along_avx2, soften_avx2, mirror_avx2};
  static const RowKernels& chosen = [&]() -> const RowKernels& {
    const char* wish = std::getenv("DEDA_SIMD");
    return has_avx2() && !(wish != nullptr && std::string_view{wish} == "plain") ? vector : plain_kernels();
  }();
  return chosen;
#else
  return plain_kernels();
#endif
}

}  // namespace deda::augment
