#include "io/pictures/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "core/error.h"
#include "io/pictures/resize_part.h"

namespace deda::io {

namespace {

// Pillow's fixed point: 8 bits of pixel and 2 bits of headroom for overshooting filters leave 22 of 32.
constexpr int precision_bits = 32 - 8 - 2;
constexpr std::int32_t half = 1 << (precision_bits - 1);

double bilinear_filter(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

double bicubic_filter(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos_filter(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

double box_filter(double x) {
  return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::bilinear:
      return {bilinear_filter, 1.0};
    case Filter::bicubic:
      return {bicubic_filter, 2.0};
    case Filter::lanczos:
      return {lanczos_filter, 3.0};
    case Filter::box:
      return {box_filter, 0.5};
  }
  return {bilinear_filter, 1.0};
}

// For each output position asked for: where its taps begin and their fixed-point weights.
struct Taps {
  int per_output = 0;
  std::vector<int> first, count;
  std::vector<std::int32_t> weights;  // [outputs, per_output]
};

// Of output positions [out_first, out_first + outputs) among out_size.
Taps make_taps(int in_size, std::int64_t out_size, std::int64_t out_first, int outputs, Filter filter) {
  const Kernel kernel = kernel_of(filter);
  const double scale = static_cast<double>(in_size) / static_cast<double>(out_size);
  const double filter_scale = std::max(scale, 1.0);
  const double support = kernel.support * filter_scale;
  Taps taps;
  taps.per_output = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(static_cast<std::size_t>(outputs));
  taps.count.resize(static_cast<std::size_t>(outputs));
  taps.weights.assign(static_cast<std::size_t>(outputs) * static_cast<std::size_t>(taps.per_output), 0);
  std::vector<double> weights(static_cast<std::size_t>(taps.per_output));
  for (int out = 0; out < outputs; ++out) {
    const double centre = (static_cast<double>(out_first + out) + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int last = std::min(in_size, static_cast<int>(centre + support + 0.5));
    const int count = std::max(0, last - first);
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      weights[static_cast<std::size_t>(i)] = kernel.weight((i + first - centre + 0.5) / filter_scale);
      sum += weights[static_cast<std::size_t>(i)];
    }
    for (int i = 0; i < count; ++i) {
      const double weight =
          sum != 0.0 ? weights[static_cast<std::size_t>(i)] / sum : weights[static_cast<std::size_t>(i)];
      const double fixed = weight * (1 << precision_bits);
      taps.weights[static_cast<std::size_t>(out) * static_cast<std::size_t>(taps.per_output) +
                   static_cast<std::size_t>(i)] =
          static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    taps.first[static_cast<std::size_t>(out)] = first;
    taps.count[static_cast<std::size_t>(out)] = count;
  }
  return taps;
}

std::uint8_t clipped(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> precision_bits, 0, 255));
}

template <int channels>
void resize_row(const std::uint8_t* in, std::uint8_t* out, int out_width, const Taps& taps) {
  for (int x = 0; x < out_width; ++x) {
    const std::int32_t* weights =
        &taps.weights[static_cast<std::size_t>(x) * static_cast<std::size_t>(taps.per_output)];
    const std::uint8_t* from =
        in + static_cast<std::ptrdiff_t>(taps.first[static_cast<std::size_t>(x)]) * channels;
    std::int32_t sums[channels];
    for (int c = 0; c < channels; ++c) sums[c] = half;
    for (int i = 0; i < taps.count[static_cast<std::size_t>(x)]; ++i) {
      for (int c = 0; c < channels; ++c) sums[c] += from[i * channels + c] * weights[i];
    }
    for (int c = 0; c < channels; ++c) out[x * channels + c] = clipped(sums[c]);
  }
}

// Rows [first_row, first_row + rows) in the width of the taps.
Image resize_width(const Image& image, int first_row, int rows, const Taps& taps) {
  const int width = static_cast<int>(taps.first.size());
  Image out(rows, width, image.channels);
  for (int y = 0; y < rows; ++y) {
    const auto* from = image.row(first_row + y);
    switch (image.channels) {
      case 1:
        resize_row<1>(from, out.row(y), width, taps);
        break;
      case 3:
        resize_row<3>(from, out.row(y), width, taps);
        break;
      default:
        resize_row<4>(from, out.row(y), width, taps);
        break;
    }
  }
  return out;
}

Image resize_width(const Image& image, int width, Filter filter) {
  return resize_width(image, 0, image.height, make_taps(image.width, width, 0, width, filter));
}

// `first_row`: the row of the whole picture that is the first of `image`.
Image resize_height(const Image& image, int first_row, const Taps& taps) {
  const int height = static_cast<int>(taps.first.size());
  Image out(height, image.width, image.channels);
  const std::size_t row_bytes =
      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  std::vector<std::int32_t> sums(row_bytes);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), half);
    const std::int32_t* weights =
        &taps.weights[static_cast<std::size_t>(y) * static_cast<std::size_t>(taps.per_output)];
    for (int i = 0; i < taps.count[static_cast<std::size_t>(y)]; ++i) {
      const std::uint8_t* in = image.row(taps.first[static_cast<std::size_t>(y)] - first_row + i);
      const std::int32_t weight = weights[i];
      for (std::size_t x = 0; x < row_bytes; ++x) sums[x] += in[x] * weight;
    }
    std::uint8_t* to = out.row(y);
    for (std::size_t x = 0; x < row_bytes; ++x) to[x] = clipped(sums[x]);
  }
  return out;
}

Image resize_height(const Image& image, int height, Filter filter) {
  return resize_height(image, 0, make_taps(image.height, height, 0, height, filter));
}

bool can_be_resized(const Image& image) {
  return !image.empty() && (image.channels == 1 || image.channels == 3 || image.channels == 4);
}

std::string size_text(const Image& image) {
  return std::to_string(image.height) + " x " + std::to_string(image.width) + " x " +
         std::to_string(image.channels);
}

}  // namespace

Image resize(const Image& image, int height, int width, Filter filter) {
  if (!can_be_resized(image) || height <= 0 || width <= 0)
    throw DataError("cannot resize a picture of " + size_text(image) + " to " + std::to_string(height) +
                    " x " + std::to_string(width));
  if (image.width == width && image.height == height) return image;
  if (image.width == width) return resize_height(image, height, filter);
  if (image.height == height) return resize_width(image, width, filter);
  return resize_height(resize_width(image, width, filter), height, filter);
}

Image resize_part(const Image& image, std::int64_t height, std::int64_t width, const Part& part,
                  Filter filter) {
  const bool inside = part.top >= 0 && part.left >= 0 && part.height > 0 && part.width > 0 &&
                      part.top + part.height <= height && part.left + part.width <= width;
  if (!can_be_resized(image) || !inside)
    throw DataError("cannot take " + std::to_string(part.height) + " x " + std::to_string(part.width) +
                    " pixels at row " + std::to_string(part.top) + ", column " + std::to_string(part.left) +
                    " of a picture of " + size_text(image) + " resized to " + std::to_string(height) + " x " +
                    std::to_string(width));
  // A side that keeps its length keeps its pixels: each position then has one tap that is not 0.
  const auto columns = make_taps(image.width, width, part.left, part.width, filter);
  const auto rows = make_taps(image.height, height, part.top, part.height, filter);
  const int first = *std::min_element(rows.first.begin(), rows.first.end());
  int last = first;
  for (std::size_t y = 0; y < rows.first.size(); ++y) last = std::max(last, rows.first[y] + rows.count[y]);
  return resize_height(resize_width(image, first, last - first, columns), first, rows);
}

void shorter_side_size(int height, int width, int size, int& new_height, int& new_width) {
  const auto longer = [size](int longer_side, int shorter_side) {
    return static_cast<int>(static_cast<double>(size) * longer_side / shorter_side);
  };
  if (width <= height) {
    new_width = size;
    new_height = longer(height, width);
  } else {
    new_height = size;
    new_width = longer(width, height);
  }
}

Image resize_shorter_side(const Image& image, int size, Filter filter) {
  int height = 0, width = 0;
  if (image.empty()) throw DataError("cannot resize an empty picture");
  shorter_side_size(image.height, image.width, size, height, width);
  return resize(image, height, width, filter);
}

}  // namespace deda::io
