#include "report/picture_similarity.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/error.h"

namespace deda::report {
namespace {

constexpr int colours = 3;
constexpr double largest_value = 255;

void check_pair(const io::Image& first, const io::Image& second, int least_side) {
  if (first.channels == colours && second.channels == colours && first.height == second.height &&
      first.width == second.width && first.height >= least_side && first.width >= least_side)
    return;
  throw DataError(fmt::format("pictures of {} x {} x {} and {} x {} x {} cannot be compared", first.height,
                              first.width, first.channels, second.height, second.width, second.channels),
                  {},
                  fmt::format("Both have to be RGB, of one size, and of {} pixels at least.", least_side));
}

constexpr std::size_t reach = ssim_window / 2;
using Half = std::array<double, reach + 1>;  // weights of the middle and of places beside it

Half gaussian() {
  constexpr double sigma = 1.5;
  Half weights{};
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto distance = static_cast<double>(i);
    weights[i] = std::exp(-distance * distance / (2 * sigma * sigma));
    sum += i == 0 ? weights[i] : 2 * weights[i];
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

// What the window is laid over. The variances are needed as their sum alone, and so their squares.
enum Map : std::size_t { of_first, of_second, of_squares, of_products, maps };
using Rows = std::array<std::vector<double>, maps>;

// One channel of one row through the window's row: `width` - 10 values of each map.
void filter_row(const std::uint8_t* first, const std::uint8_t* second, std::size_t width, const Half& weights,
                Rows& plain, Rows& filtered) {
  for (std::size_t x = 0; x < width; ++x) {
    const double a = first[x * colours], b = second[x * colours];
    plain[of_first][x] = a;
    plain[of_second][x] = b;
    plain[of_squares][x] = a * a + b * b;
    plain[of_products][x] = a * b;
  }
  for (std::size_t map = 0; map < maps; ++map) {
    const double* from = plain[map].data() + reach;
    double* to = filtered[map].data();
    const std::size_t count = width - 2 * reach;
    for (std::size_t x = 0; x < count; ++x) to[x] = weights[0] * from[x];
    for (std::size_t i = 1; i <= reach; ++i) {
      const double *left = from - i, *right = from + i;
      for (std::size_t x = 0; x < count; ++x) to[x] += weights[i] * (left[x] + right[x]);
    }
  }
}

}  // namespace

std::optional<double> psnr_db(const io::Image& first, const io::Image& second) {
  check_pair(first, second, 1);
  std::int64_t squares = 0;
  for (std::size_t i = 0; i < first.pixels.size(); ++i) {
    const std::int32_t difference = std::int32_t{first.pixels[i]} - second.pixels[i];
    squares += difference * difference;
  }
  if (squares == 0) return std::nullopt;
  const double mean_square = static_cast<double>(squares) / static_cast<double>(first.pixels.size());
  return 10 * std::log10(largest_value * largest_value / mean_square);
}

double structural_similarity(const io::Image& first, const io::Image& second) {
  constexpr double k1 = 0.01, k2 = 0.03, c1 = k1 * largest_value * k1 * largest_value,
                   c2 = k2 * largest_value * k2 * largest_value;
  check_pair(first, second, ssim_window);
  const Half weights = gaussian();
  const auto width = static_cast<std::size_t>(first.width), count = width - 2 * reach;
  const auto rows_of = [](std::size_t length) {
    Rows rows;
    for (auto& row : rows) row.resize(length);
    return rows;
  };
  Rows plain = rows_of(width), mean = rows_of(count);
  std::vector<Rows> window(ssim_window, rows_of(count));  // row y lies at y modulo its size
  double sum = 0;
  for (int channel = 0; channel < colours; ++channel) {
    for (int y = 0; y < first.height; ++y) {
      filter_row(first.row(y) + channel, second.row(y) + channel, width, weights, plain,
                 window[static_cast<std::size_t>(y) % ssim_window]);
      if (y + 1 < ssim_window) continue;
      const auto middle = static_cast<std::size_t>(y) - reach;
      for (std::size_t map = 0; map < maps; ++map) {
        double* to = mean[map].data();
        const double* from = window[middle % ssim_window][map].data();
        for (std::size_t x = 0; x < count; ++x) to[x] = weights[0] * from[x];
        for (std::size_t i = 1; i <= reach; ++i) {
          const double *above = window[(middle - i) % ssim_window][map].data(),
                       *below = window[(middle + i) % ssim_window][map].data();
          for (std::size_t x = 0; x < count; ++x) to[x] += weights[i] * (above[x] + below[x]);
        }
      }
      for (std::size_t x = 0; x < count; ++x) {
        const double a = mean[of_first][x], b = mean[of_second][x], means = a * a + b * b;
        const double variances = mean[of_squares][x] - means, covariance = mean[of_products][x] - a * b;
        sum += (2 * a * b + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2));
      }
    }
  }
  const auto places = static_cast<double>(count) * (first.height - static_cast<int>(2 * reach)) * colours;
  return sum / places;
}

}  // namespace deda::report
