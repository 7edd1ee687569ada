#include "mixing/fine_grained_saliency.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "core/error.h"

namespace deda::mixing {
namespace {

// Surroundings of (row, column): rows [row - reach + 1, row + reach + 1), columns alike, within the picture.
constexpr std::array<int, 6> reaches{12, 24, 48, 28, 56, 112};
constexpr int most_reach = *std::max_element(reaches.begin(), reaches.end());
// Rows of the integral image repeat their ends, so that no column needs to be clipped.
constexpr int room_left = most_reach - 1, room_right = most_reach;
constexpr int most_side = 32768;
constexpr int most_value = 255;
// "On" and "off" of a pixel are at most this, summed over the surroundings.
constexpr std::size_t most_sum = reaches.size() * most_value;

std::size_t area(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

void check_sides(int height, int width) {
  if (height < 1 || width < 1 || height > most_side || width > most_side)
    throw DataError("saliency of a picture of " + std::to_string(height) + " x " + std::to_string(width) +
                    " pixels: sides are 1 to " + std::to_string(most_side));
}

// The row, or column, at `index` where borders are mirrored without repeating the outermost one.
int mirrored(int index, int size) {
  if (size == 1) return 0;
  return index < 0 ? -index : index >= size ? 2 * size - 2 - index : index;
}

void make_gray(const std::uint8_t* pixels, std::size_t count, std::uint8_t* gray) {
  constexpr std::uint32_t red = 9798, green = 19235, blue = 3735;  // 0.299, 0.587, 0.114 times 2^15
  constexpr int shift = 15;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* pixel = pixels + 3 * i;
    gray[i] = static_cast<std::uint8_t>(
        (red * pixel[0] + green * pixel[1] + blue * pixel[2] + (1u << (shift - 1))) >> shift);
  }
}

// Weights 1 2 1 in both directions, in place; rounded once. `sums`: room for 3 rows.
void blur(std::uint8_t* gray, int height, int width, std::vector<std::uint16_t>& sums) {
  constexpr int all_weights_shift = 4;
  const auto columns = static_cast<std::size_t>(width);
  sums.resize(3 * columns);
  const auto along = [&](int row) { return &sums[columns * static_cast<std::size_t>(row % 3)]; };
  const auto sum_along = [&](int row) {
    const std::uint8_t* in = gray + area(row, width);
    std::uint16_t* out = along(row);
    const auto weighted = [&](int x) {
      return static_cast<std::uint16_t>(in[mirrored(x - 1, width)] + 2 * in[x] + in[mirrored(x + 1, width)]);
    };
    out[0] = weighted(0);
    for (int x = 1; x < width - 1; ++x)
      out[x] = static_cast<std::uint16_t>(in[x - 1] + 2 * in[x] + in[x + 1]);
    out[width - 1] = weighted(width - 1);
  };
  // A row is written when the sums of the row below it have been taken, so in place is safe.
  sum_along(0);
  for (int row = 0; row < height; ++row) {
    if (row + 1 < height) sum_along(row + 1);
    const std::uint16_t* above = along(mirrored(row - 1, height));
    const std::uint16_t* here = along(row);
    const std::uint16_t* below = along(mirrored(row + 1, height));
    std::uint8_t* out = gray + area(row, width);
    for (int x = 0; x < width; ++x)
      out[x] = static_cast<std::uint8_t>(
          (above[x] + 2 * here[x] + below[x] + (1 << (all_weights_shift - 1))) >> all_weights_shift);
  }
}

// float32 throughout, with the roundings of the original.
class IntegralImage {
 public:
  IntegralImage(std::vector<float>& memory, int height, int width)
      : height_{height}, width_{width}, stride_{room_left + width + 1 + room_right} {
    memory.resize(area(height + 1, stride_));
    values_ = memory.data();
    std::fill_n(values_, stride_, 0.0f);
  }
  // Column 0 of a row of width + 1 sums; `row` is moved inside of the picture.
  float* row(int row) const { return values_ + area(std::clamp(row, 0, height_), stride_) + room_left; }
  // Row `row` + 1 from the sums along row `row` of the picture, which the caller has put into it from column
  // 1 on.
  void finish(int row_of_picture) const {
    const float* above = row(row_of_picture);
    float* here = row(row_of_picture + 1);
    std::fill_n(here - room_left, room_left + 1, 0.0f);
    for (int x = 1; x <= width_; ++x) here[x] = above[x] + here[x];
    std::fill_n(here + width_ + 1, room_right, here[width_]);
  }

 private:
  int height_, width_, stride_;
  float* values_;
};

// "On" and "off" over all surroundings, from the integral image and the centres.
void compare_with_surroundings(const IntegralImage& integral, const std::uint8_t* centres, int height,
                               int width, SaliencyScratch& scratch) {
  const auto columns = static_cast<std::size_t>(width);
  scratch.centre_row.resize(columns);
  scratch.on_row.resize(columns);
  scratch.off_row.resize(columns);
  scratch.counts.resize(reaches.size() * columns);
  scratch.on.resize(area(height, width));
  scratch.off.resize(area(height, width));
  std::array<int, reaches.size()> rows_counted{};  // what `counts` of each reach was made for; 0: nothing
  float* centre_row = scratch.centre_row.data();
  std::int32_t* on_row = scratch.on_row.data();
  std::int32_t* off_row = scratch.off_row.data();
  for (int row = 0; row < height; ++row) {
    const std::uint8_t* centre_bytes = centres + area(row, width);
    for (int x = 0; x < width; ++x) centre_row[x] = static_cast<float>(centre_bytes[x]);
    std::fill_n(on_row, columns, 0);
    std::fill_n(off_row, columns, 0);
    for (std::size_t k = 0; k < reaches.size(); ++k) {
      const int reach = reaches[k];
      const int first = std::max(0, row - reach + 1), last = std::min(height, row + reach + 1);
      float* counts = &scratch.counts[k * columns];
      if (rows_counted[k] != last - first) {
        rows_counted[k] = last - first;
        for (int x = 0; x < width; ++x)
          counts[x] = static_cast<float>(
              (last - first) * (std::min(width, x + reach + 1) - std::max(0, x - reach + 1)) - 1);
      }
      const float* upper_left = integral.row(first) - reach + 1;
      const float* upper_right = integral.row(first) + reach + 1;
      const float* lower_left = integral.row(last) - reach + 1;
      const float* lower_right = integral.row(last) + reach + 1;
      for (int x = 0; x < width; ++x) {
        const float sum = lower_right[x] + upper_left[x] - lower_left[x] - upper_right[x];
        const float mean = (sum - centre_row[x]) / counts[x];
        const auto difference = static_cast<std::int32_t>(centre_row[x] - mean);
        on_row[x] += std::max(difference, 0) & most_value;
        off_row[x] += std::max(-difference, 0) & most_value;
      }
    }
    std::uint16_t* on = &scratch.on[area(row, width)];
    std::uint16_t* off = &scratch.off[area(row, width)];
    for (int x = 0; x < width; ++x) on[x] = static_cast<std::uint16_t>(on_row[x]);
    for (int x = 0; x < width; ++x) off[x] = static_cast<std::uint16_t>(off_row[x]);
  }
}

// What each sum becomes where the largest is 255.
std::array<std::uint8_t, most_sum + 1> scaled_to_largest(const std::vector<std::uint16_t>& sums) {
  std::array<std::uint8_t, most_sum + 1> table{};
  const std::uint16_t largest = *std::max_element(sums.begin(), sums.end());
  for (std::size_t sum = 1; sum <= largest; ++sum)
    table[sum] = static_cast<std::uint8_t>(
        255.0 * static_cast<double>(static_cast<float>(sum) / static_cast<float>(largest)));
  return table;
}

void join_on_and_off(int height, int width, SaliencyScratch& scratch, SaliencyMap& map) {
  const auto on_values = scaled_to_largest(scratch.on), off_values = scaled_to_largest(scratch.off);
  map.height = height;
  map.width = width;
  map.values.resize(area(height, width));
  // The original scales this sum by 255 / (the larger of both maxima), which is 1 wherever a sum is not 0.
  for (std::size_t i = 0; i < map.values.size(); ++i)
    map.values[i] = static_cast<std::uint8_t>(on_values[scratch.on[i]] + off_values[scratch.off[i]]);
  const auto place = std::max_element(map.values.begin(), map.values.end()) - map.values.begin();
  map.peak = {static_cast<int>(place / width), static_cast<int>(place % width)};
}

// A single pixel has no surroundings: the original divides 0 by 0 and ends with 0.
void set_single_pixel(SaliencyMap& map) {
  map.height = map.width = 1;
  map.values.assign(1, 0);
  map.peak = {};
}

// The order in which IPP's ippiIntegral adds along a row: by blocks of eight, in each first within the halves
// (by one, then by two), then the lower half's sum to the upper half, then what came before to all.
void sum_along_as_ipp(const float* in, int count, float* out) {
  constexpr int half = 4, block = 2 * half;
  float before = 0;
  int x = 0;
  for (; x + block <= count; x += block) {
    std::array<float, block> sums{};
    for (int h = 0; h < block; h += half) {
      const float *a = in + x + h, by_one[half] = {a[0], a[1] + a[0], a[2] + a[1], a[3] + a[2]};
      float* s = &sums[static_cast<std::size_t>(h)];
      s[0] = by_one[0];
      s[1] = by_one[1];
      s[2] = by_one[2] + by_one[0];
      s[3] = by_one[3] + by_one[1];
    }
    const float lower = sums[half - 1];
    for (std::size_t i = half; i < block; ++i) sums[i] = sums[i] + lower;
    for (std::size_t i = 0; i < block; ++i) out[x + static_cast<int>(i)] = sums[i] + before;
    before = out[x + block - 1];
  }
  for (; x < count; ++x) out[x] = before = before + in[x];
}

void make_float_gray(const float* normalised, std::size_t count, float* gray) {
  constexpr float first = 0.114f, second = 0.587f, third = 0.299f;
  for (std::size_t i = 0; i < count; ++i) {
    const float* pixel = normalised + 3 * i;
    gray[i] = std::fma(pixel[2], third, std::fma(pixel[0], first, pixel[1] * second));
  }
}

// Weights 1/4 1/2 1/4 along rows, then down columns, in place. `rows`: room for 3 rows.
void blur(float* gray, int height, int width, std::vector<float>& rows) {
  const auto columns = static_cast<std::size_t>(width);
  rows.resize(3 * columns);
  // Both products are exact, so that neither their order nor fused operations matter.
  const auto weighted = [](float before, float here, float after) {
    return (before + after) * 0.25f + here * 0.5f;
  };
  const auto along = [&](int row) { return &rows[columns * static_cast<std::size_t>(row % 3)]; };
  const auto blur_along = [&](int row) {
    const float* in = gray + area(row, width);
    float* out = along(row);
    out[0] = weighted(in[mirrored(-1, width)], in[0], in[mirrored(1, width)]);
    for (int x = 1; x < width - 1; ++x) out[x] = weighted(in[x - 1], in[x], in[x + 1]);
    out[width - 1] = weighted(in[mirrored(width - 2, width)], in[width - 1], in[mirrored(width, width)]);
  };
  blur_along(0);
  for (int row = 0; row < height; ++row) {
    if (row + 1 < height) blur_along(row + 1);
    const float* above = along(mirrored(row - 1, height));
    const float* here = along(row);
    const float* below = along(mirrored(row + 1, height));
    float* out = gray + area(row, width);
    for (int x = 0; x < width; ++x) out[x] = weighted(above[x], here[x], below[x]);
  }
}

}  // namespace

void fine_grained_saliency(const std::uint8_t* pixels, int height, int width, SaliencyScratch& scratch,
                           SaliencyMap& map) {
  check_sides(height, width);
  if (area(height, width) == 1) return set_single_pixel(map);
  scratch.gray.resize(area(height, width));
  std::uint8_t* gray = scratch.gray.data();
  make_gray(pixels, scratch.gray.size(), gray);
  blur(gray, height, width, scratch.sums);
  blur(gray, height, width, scratch.sums);
  const IntegralImage integral(scratch.integral, height, width);
  for (int row = 0; row < height; ++row) {
    const std::uint8_t* in = gray + area(row, width);
    float* out = integral.row(row + 1) + 1;
    std::int32_t sum = 0;
    for (int x = 0; x < width; ++x) out[x] = static_cast<float>(sum += in[x]);
    integral.finish(row);
  }
  compare_with_surroundings(integral, gray, height, width, scratch);
  join_on_and_off(height, width, scratch, map);
}

void fine_grained_saliency_of_upstream_float(const float* normalised, int height, int width,
                                             SaliencyScratch& scratch, SaliencyMap& map) {
  check_sides(height, width);
  if (area(height, width) == 1) return set_single_pixel(map);
  scratch.float_gray.resize(area(height, width));
  float* gray = scratch.float_gray.data();
  make_float_gray(normalised, scratch.float_gray.size(), gray);
  blur(gray, height, width, scratch.float_row);
  blur(gray, height, width, scratch.float_row);
  const IntegralImage integral(scratch.integral, height, width);
  scratch.centres.resize(area(height, width));
  for (int row = 0; row < height; ++row) {
    const float* in = gray + area(row, width);
    std::memcpy(&scratch.centres[area(row, width)], in, static_cast<std::size_t>(width));
    sum_along_as_ipp(in, width, integral.row(row + 1) + 1);
    integral.finish(row);
  }
  compare_with_surroundings(integral, scratch.centres.data(), height, width, scratch);
  join_on_and_off(height, width, scratch, map);
}

}  // namespace deda::mixing
