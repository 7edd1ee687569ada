#include "augment/operation_loops.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "augment/pixel_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace deda::augment {

namespace {

// Loops that the compiler turns into vectors by itself: written once, compiled twice.
#define DEDA_LOOP [[gnu::always_inline]] inline

DEDA_LOOP void keep_bits(std::uint8_t* bytes, std::size_t count, std::uint8_t mask) {
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(bytes[i] & mask);
}

DEDA_LOOP void invert_from(std::uint8_t* bytes, std::size_t count, int threshold) {
  if (threshold > 255) return;
  const auto from = static_cast<std::uint8_t>(threshold);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = bytes[i] >= from ? static_cast<std::uint8_t>(255 - bytes[i]) : bytes[i];
}

DEDA_LOOP std::uint8_t blended(int other, int value, float factor) {
  const int mixed = static_cast<int>(static_cast<float>(other) + factor * static_cast<float>(value - other));
  return static_cast<std::uint8_t>(std::clamp(mixed, 0, 255));
}

DEDA_LOOP void blend_with_value(std::uint8_t* bytes, std::size_t count, std::uint8_t value, float factor) {
  for (std::size_t i = 0; i < count; ++i) bytes[i] = blended(value, bytes[i], factor);
}

DEDA_LOOP void blend_with(const std::uint8_t* __restrict other, std::uint8_t* __restrict bytes,
                          std::size_t count, float factor) {
  for (std::size_t i = 0; i < count; ++i) bytes[i] = blended(other[i], bytes[i], factor);
}

constexpr std::uint32_t red_weight = 19595, green_weight = 38470, blue_weight = 7471, weight_half = 1u << 15;
constexpr int weight_shift = 16;

std::uint32_t luminance(const std::uint8_t* pixel) {
  return (pixel[0] * red_weight + pixel[1] * green_weight + pixel[2] * blue_weight + weight_half) >>
         weight_shift;
}

void grey_plain(const std::uint8_t* pixels, std::size_t pixel_count, std::uint8_t* out) {
  for (std::size_t i = 0; i < pixel_count; ++i)
    std::memset(out + 3 * i, static_cast<int>(luminance(pixels + 3 * i)), 3);
}

std::uint64_t grey_sum_plain(const std::uint8_t* pixels, std::size_t pixel_count) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < pixel_count; ++i) sum += luminance(pixels + 3 * i);
  return sum;
}

DEDA_LOOP void smooth(const std::uint8_t* __restrict above, const std::uint8_t* __restrict row,
                      const std::uint8_t* __restrict below, std::size_t count, std::uint8_t* __restrict out) {
  // (n + 6) / 13 as a product: exact for all n up to 13 * 255. A tie cannot occur, since 13 is odd, so that
  // Pillow's float32 sums round the same way.
  constexpr std::uint32_t thirteenth = 20165, thirteenth_shift = 18, rounding = 6;
  constexpr std::size_t pixel = 3;
  const auto column = [&](std::size_t i) { return above[i] + row[i] + below[i]; };
  std::copy_n(row, pixel, out);
  for (std::size_t i = pixel; i + pixel < count; ++i) {
    const auto sum =
        static_cast<std::uint32_t>(column(i - pixel) + column(i) + column(i + pixel) + 4 * row[i]) + rounding;
    out[i] = static_cast<std::uint8_t>(sum * thirteenth >> thirteenth_shift);
  }
  std::copy_n(row + count - pixel, pixel, out + count - pixel);
}

ChannelExtremes extremes_plain(const std::uint8_t* pixels, std::size_t pixel_count) {
  ChannelExtremes found;
  for (std::size_t i = 0; i < pixel_count; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      found.least[c] = std::min(found.least[c], pixels[3 * i + c]);
      found.most[c] = std::max(found.most[c], pixels[3 * i + c]);
    }
  }
  return found;
}

void look_up_plain(std::uint8_t* pixels, std::size_t pixel_count, const ChannelTables& tables) {
  for (std::size_t i = 0; i < pixel_count; ++i, pixels += 3) {
    for (std::size_t c = 0; c < 3; ++c) pixels[c] = tables[c][pixels[c]];
  }
}

// Each pixel is loaded and stored as four bytes, of which the next one overwrites the fourth, and the last as
// three.
void gather_plain(const PixelWalk& walk, std::size_t pixel_count, std::uint8_t* out) {
  std::int32_t x = walk.x, y = walk.y;
  const auto at = [&] {
    return walk.pixels + static_cast<std::ptrdiff_t>(y >> 16) * walk.row_bytes +
           static_cast<std::ptrdiff_t>(x >> 16) * 3;
  };
  for (; pixel_count > 1; --pixel_count, x += walk.dx, y += walk.dy, out += 3) std::memcpy(out, at(), 4);
  if (pixel_count == 1) std::memcpy(out, at(), 3);
}

void keep_bits_plain(std::uint8_t* bytes, std::size_t count, std::uint8_t mask) {
  keep_bits(bytes, count, mask);
}
void invert_from_plain(std::uint8_t* bytes, std::size_t count, int threshold) {
  invert_from(bytes, count, threshold);
}
void blend_with_value_plain(std::uint8_t* bytes, std::size_t count, std::uint8_t value, float factor) {
  blend_with_value(bytes, count, value, factor);
}
void blend_with_plain(const std::uint8_t* other, std::uint8_t* bytes, std::size_t count, float factor) {
  blend_with(other, bytes, count, factor);
}
void smooth_plain(const std::uint8_t* above, const std::uint8_t* row, const std::uint8_t* below,
                  std::size_t count, std::uint8_t* out) {
  smooth(above, row, below, count, out);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) void keep_bits_avx2(std::uint8_t* bytes, std::size_t count,
                                                    std::uint8_t mask) {
  keep_bits(bytes, count, mask);
}
__attribute__((target("avx2"))) void invert_from_avx2(std::uint8_t* bytes, std::size_t count, int threshold) {
  invert_from(bytes, count, threshold);
}
// Eight bytes as 32-bit numbers.
__attribute__((target("avx2"))) inline __m256i eight_numbers(const std::uint8_t* bytes) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
}
// blended() of eight of them.
__attribute__((target("avx2"))) inline __m256i blend8(__m256i other, __m256i value, __m256 factor) {
  const __m256 difference = _mm256_cvtepi32_ps(_mm256_sub_epi32(value, other));
  return _mm256_cvttps_epi32(_mm256_add_ps(_mm256_cvtepi32_ps(other), _mm256_mul_ps(factor, difference)));
}
// 32 numbers, in four vectors, cut to 0..255 and stored.
__attribute__((target("avx2"))) inline void store32(__m256i a, __m256i b, __m256i c, __m256i d,
                                                    std::uint8_t* out) {
  const __m256i mixed = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  // Packing works in halves of the vectors.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(mixed, order));
}

__attribute__((target("avx2"))) void blend_with_value_avx2(std::uint8_t* bytes, std::size_t count,
                                                           std::uint8_t value, float factor) {
  const __m256i other = _mm256_set1_epi32(value);
  const __m256 factors = _mm256_set1_ps(factor);
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    store32(blend8(other, eight_numbers(bytes + i), factors),
            blend8(other, eight_numbers(bytes + i + 8), factors),
            blend8(other, eight_numbers(bytes + i + 16), factors),
            blend8(other, eight_numbers(bytes + i + 24), factors), bytes + i);
  }
  blend_with_value(bytes + i, count - i, value, factor);
}

__attribute__((target("avx2"))) void blend_with_avx2(const std::uint8_t* other, std::uint8_t* bytes,
                                                     std::size_t count, float factor) {
  const __m256 factors = _mm256_set1_ps(factor);
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    store32(blend8(eight_numbers(other + i), eight_numbers(bytes + i), factors),
            blend8(eight_numbers(other + i + 8), eight_numbers(bytes + i + 8), factors),
            blend8(eight_numbers(other + i + 16), eight_numbers(bytes + i + 16), factors),
            blend8(eight_numbers(other + i + 24), eight_numbers(bytes + i + 24), factors), bytes + i);
  }
  blend_with(other + i, bytes + i, count - i, factor);
}

__attribute__((target("avx2"))) inline __m256i wide(const std::uint8_t* sixteen_bytes) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sixteen_bytes)));
}
// Sums down a column of three rows.
__attribute__((target("avx2"))) inline __m256i column16(const std::uint8_t* above, const std::uint8_t* row,
                                                        const std::uint8_t* below) {
  return _mm256_add_epi16(_mm256_add_epi16(wide(above), wide(row)), wide(below));
}

// (n + 6) / 13 in 16 bits; 16 bytes at a time.
__attribute__((target("avx2"))) void smooth_avx2(const std::uint8_t* above, const std::uint8_t* row,
                                                 const std::uint8_t* below, std::size_t count,
                                                 std::uint8_t* out) {
  const __m256i thirteenth = _mm256_set1_epi16(20165), rounding = _mm256_set1_epi16(6);
  std::copy_n(row, 3, out);
  std::size_t i = 3;
  for (; i + 16 + 3 <= count; i += 16) {
    const __m256i left = column16(above + i - 3, row + i - 3, below + i - 3),
                  middle = column16(above + i, row + i, below + i),
                  right = column16(above + i + 3, row + i + 3, below + i + 3);
    const __m256i around = _mm256_add_epi16(_mm256_add_epi16(left, middle), right);
    const __m256i sum =
        _mm256_add_epi16(_mm256_add_epi16(around, _mm256_slli_epi16(wide(row + i), 2)), rounding);
    const __m256i mean = _mm256_srli_epi16(_mm256_mulhi_epu16(sum, thirteenth), 2);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i),
                     _mm_packus_epi16(_mm256_castsi256_si128(mean), _mm256_extracti128_si256(mean, 1)));
  }
  // The rest of the row as a row of its own, whose first three bytes are done already.
  std::array<std::uint8_t, 3> done;
  std::copy_n(out + i - 3, 3, done.data());
  smooth(above + i - 3, row + i - 3, below + i - 3, count - (i - 3), out + i - 3);
  std::copy_n(done.data(), 3, out + i - 3);
}

// Luminance of the eight pixels from `pixels` on, as 32-bit numbers; reads 28 bytes.
__attribute__((target("avx2"))) inline __m256i luminance8(const std::uint8_t* pixels) {
  const __m256i four_and_four =
      _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels + 12)),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels)));
  const __m256i red_green = _mm256_shuffle_epi8(
      four_and_four, _mm256_setr_epi8(0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1, 0, -1, 1, -1,
                                      3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1));
  const __m256i blue_green = _mm256_shuffle_epi8(
      four_and_four, _mm256_setr_epi8(2, -1, 1, -1, 5, -1, 4, -1, 8, -1, 7, -1, 11, -1, 10, -1, 2, -1, 1, -1,
                                      5, -1, 4, -1, 8, -1, 7, -1, 11, -1, 10, -1));
  // Green's weight does not fit into 16 bits with a sign: it comes in two parts.
  constexpr int most = 32767;
  const __m256i weights = _mm256_set1_epi32(static_cast<int>(red_weight) | most << 16),
                further = _mm256_set1_epi32(static_cast<int>(blue_weight) |
                                            (static_cast<int>(green_weight) - most) << 16);
  const __m256i sum =
      _mm256_add_epi32(_mm256_madd_epi16(red_green, weights), _mm256_madd_epi16(blue_green, further));
  return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(static_cast<int>(weight_half))),
                           weight_shift);
}

constexpr std::size_t grey_reach = 10;  // pixels that must be left for eight of them to be read

__attribute__((target("avx2"))) void grey_avx2(const std::uint8_t* pixels, std::size_t pixel_count,
                                               std::uint8_t* out) {
  const __m256i thrice = _mm256_setr_epi8(0, 0, 0, 4, 4, 4, 8, 8, 8, 12, 12, 12, -1, -1, -1, -1, 0, 0, 0, 4,
                                          4, 4, 8, 8, 8, 12, 12, 12, -1, -1, -1, -1);
  std::size_t i = 0;
  for (; i + grey_reach <= pixel_count; i += 8) {
    const __m256i bytes = _mm256_shuffle_epi8(luminance8(pixels + 3 * i), thrice);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i + 12), _mm256_extracti128_si256(bytes, 1));
  }
  grey_plain(pixels + 3 * i, pixel_count - i, out + 3 * i);
}

__attribute__((target("avx2"))) std::uint64_t grey_sum_avx2(const std::uint8_t* pixels,
                                                            std::size_t pixel_count) {
  constexpr std::size_t most_rounds = 1 << 20;  // before a 32-bit sum of bytes could overflow
  std::uint64_t total = 0;
  std::size_t i = 0;
  while (i + grey_reach <= pixel_count) {
    __m256i sum = _mm256_setzero_si256();
    for (std::size_t round = 0; round < most_rounds && i + grey_reach <= pixel_count; ++round, i += 8)
      sum = _mm256_add_epi32(sum, luminance8(pixels + 3 * i));
    std::array<std::uint32_t, 8> lanes;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes.data()), sum);
    for (const std::uint32_t lane : lanes) total += lane;
  }
  return total + grey_sum_plain(pixels + 3 * i, pixel_count - i);
}

__attribute__((target("avx2"))) ChannelExtremes extremes_avx2(const std::uint8_t* pixels,
                                                              std::size_t pixel_count) {
  // 32 pixels are three vectors; byte k of the three belongs to channel k % 3.
  constexpr std::size_t block = 96;
  const __m256i full = _mm256_set1_epi8(-1), zero = _mm256_setzero_si256();
  __m256i least[3] = {full, full, full}, most[3] = {zero, zero, zero};
  std::size_t i = 0;
  for (; i + block <= 3 * pixel_count; i += block) {
    for (std::size_t part = 0; part < 3; ++part) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(pixels + i + 32 * part));
      least[part] = _mm256_min_epu8(least[part], bytes);
      most[part] = _mm256_max_epu8(most[part], bytes);
    }
  }
  std::array<std::uint8_t, block> low, high;
  for (std::size_t part = 0; part < 3; ++part) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low.data() + 32 * part), least[part]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(high.data() + 32 * part), most[part]);
  }
  ChannelExtremes found = extremes_plain(pixels + i, pixel_count - i / 3);
  const ChannelExtremes smallest = extremes_plain(low.data(), block / 3),
                        largest = extremes_plain(high.data(), block / 3);
  for (std::size_t c = 0; c < 3; ++c) {
    found.least[c] = std::min(found.least[c], smallest.least[c]);
    found.most[c] = std::max(found.most[c], largest.most[c]);
  }
  return found;
}

__attribute__((target("avx2"))) void gather_avx2(const PixelWalk& walk, std::size_t pixel_count,
                                                 std::uint8_t* out) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), stride = _mm256_set1_epi32(walk.row_bytes);
  __m256i x = _mm256_add_epi32(_mm256_set1_epi32(walk.x),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(walk.dx))),
          y = _mm256_add_epi32(_mm256_set1_epi32(walk.y),
                               _mm256_mullo_epi32(lane, _mm256_set1_epi32(walk.dy)));
  const __m256i step_x = _mm256_set1_epi32(8 * walk.dx), step_y = _mm256_set1_epi32(8 * walk.dy);
  // Four bytes of each pixel become three.
  const __m256i first_three = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, 0, 1,
                                               2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  std::size_t i = 0;
  for (; i + grey_reach <= pixel_count; i += 8) {
    const __m256i column = _mm256_srai_epi32(x, 16);
    const __m256i offset = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srai_epi32(y, 16), stride),
                                            _mm256_add_epi32(column, _mm256_slli_epi32(column, 1)));
    const __m256i pixels = _mm256_shuffle_epi8(
        _mm256_i32gather_epi32(reinterpret_cast<const int*>(walk.pixels), offset, 1), first_three);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i), _mm256_castsi256_si128(pixels));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i + 12), _mm256_extracti128_si256(pixels, 1));
    x = _mm256_add_epi32(x, step_x);
    y = _mm256_add_epi32(y, step_y);
  }
  PixelWalk rest = walk;
  rest.x += static_cast<std::int32_t>(i) * walk.dx;
  rest.y += static_cast<std::int32_t>(i) * walk.dy;
  gather_plain(rest, pixel_count - i, out + 3 * i);
}

#define DEDA_VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi")))

// A table of 256 bytes in four vectors.
struct WideTable {
  __m512i quarters[4];
};

DEDA_VBMI inline __m512i look_up64(__m512i bytes, const WideTable& table) {
  const __m512i low = _mm512_permutex2var_epi8(table.quarters[0], bytes, table.quarters[1]),
                high = _mm512_permutex2var_epi8(table.quarters[2], bytes, table.quarters[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
}

DEDA_VBMI void look_up_vbmi(std::uint8_t* pixels, std::size_t pixel_count, const ChannelTables& tables) {
  WideTable wide_tables[3];
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t quarter = 0; quarter < 4; ++quarter)
      wide_tables[c].quarters[quarter] = _mm512_loadu_si512(tables[c].data() + 64 * quarter);
  }
  // 64 pixels are three vectors; byte k of vector v is of channel (k + v) % 3, since 64 % 3 is 1.
  constexpr std::uint64_t every_third = 0x9249249249249249u;  // bits 0, 3, ..., 63
  constexpr std::uint64_t second_third = every_third << 1, last_third = every_third << 2;
  constexpr std::uint64_t green[3] = {second_third, every_third, last_third},
                          blue[3] = {last_third, second_third, every_third};
  std::size_t i = 0;
  for (; i + 64 <= pixel_count; i += 64) {
    for (std::size_t v = 0; v < 3; ++v) {
      std::uint8_t* const at = pixels + 3 * i + 64 * v;
      const __m512i bytes = _mm512_loadu_si512(at);
      __m512i out = look_up64(bytes, wide_tables[0]);
      out = _mm512_mask_blend_epi8(green[v], out, look_up64(bytes, wide_tables[1]));
      out = _mm512_mask_blend_epi8(blue[v], out, look_up64(bytes, wide_tables[2]));
      _mm512_storeu_si512(at, out);
    }
  }
  look_up_plain(pixels + 3 * i, pixel_count - i, tables);
}

#endif

}  // namespace

const OperationLoops& plain_operation_loops() {
  static constexpr OperationLoops loops{
      keep_bits_plain, invert_from_plain, blend_with_value_plain, blend_with_plain, grey_plain,
      grey_sum_plain,  smooth_plain,      extremes_plain,         look_up_plain,    gather_plain};
  return loops;
}

const OperationLoops& best_operation_loops() {
#if defined(__x86_64__)
  static const OperationLoops vectors{
      keep_bits_avx2,
      invert_from_avx2,
      blend_with_value_avx2,
      blend_with_avx2,
      grey_avx2,
      grey_sum_avx2,
      smooth_avx2,
      extremes_avx2,
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512bw") ? look_up_vbmi
                                                                                 : look_up_plain,
      gather_avx2};
  // The choice is that of composition (pixel_rows.h).
  if (&best_kernels() != &plain_kernels()) return vectors;
#endif
  return plain_operation_loops();
}

std::array<std::array<std::uint32_t, 256>, 3> histograms(const std::uint8_t* pixels,
                                                         std::size_t pixel_count) {
  // Four counters of each kind: neighbours are often alike, and adding to one waits for the addition before.
  constexpr std::size_t sets = 4, block = 8;
  std::array<std::array<std::array<std::uint32_t, 256>, 3>, sets> counts{};
  std::size_t i = 0;
  for (; i + block <= pixel_count; i += block, pixels += 3 * block) {
    std::uint64_t words[3];  // byte k is of channel k % 3
    std::memcpy(words, pixels, sizeof words);
#pragma GCC unroll 24
    for (std::size_t k = 0; k < 3 * block; ++k)
      ++counts[k / 3 % sets][k % 3][words[k / 8] >> (8 * (k % 8)) & 255];
  }
  for (; i < pixel_count; ++i, pixels += 3) {
    for (std::size_t c = 0; c < 3; ++c) ++counts[0][c][pixels[c]];
  }
  for (std::size_t set = 1; set < sets; ++set) {
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t value = 0; value < 256; ++value) counts[0][c][value] += counts[set][c][value];
    }
  }
  return counts[0];
}

}  // namespace deda::augment
