#include "mixing/greedy_pairing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/error.h"

namespace deda::mixing {
namespace {

// So many pixels of all maps are compared before the next: those of 16 maps, as doubles, fill the nearest
// cache.
constexpr std::size_t pixels_per_block = 256;
// Independent sums, so that they can be added side by side; a fixed number, so that the result is one.
constexpr std::size_t lanes = 8;

void check_entries(std::size_t found, std::size_t expected, const char* what) {
  if (found != expected)
    throw DataError(std::string(what) + ": " + std::to_string(found) + " numbers where " +
                    std::to_string(expected) + " belong");
}

double squared_distance(const double* a, const double* b) {
  std::array<double, lanes> sums{};
  for (std::size_t i = 0; i < pixels_per_block; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const double difference = a[i + lane] - b[i + lane];
      sums[lane] += difference * difference;
    }
  }
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

bool farther(double a, double b) {
  return a > b || (std::isnan(b) && !std::isnan(a));
}

}  // namespace

std::vector<std::uint32_t> greedy_pairing(std::span<const double> distances, std::size_t n) {
  check_entries(distances.size(), n * n, "distances of a pairing");
  std::vector<std::uint32_t> partner(n, 0);
  if (n < 2) return partner;
  std::vector<bool> left(n, false);  // pictures that have a partner: none goes back to them
  const std::size_t none = n;
  // The farthest picture from `row` that has not been left, the first of equals; never `row` itself.
  const auto farthest = [&](std::size_t row) {
    std::size_t best = none;
    for (std::size_t column = 0; column < n; ++column) {
      if (column == row || left[column]) continue;
      if (best == none || farther(distances[row * n + column], distances[row * n + best])) best = column;
    }
    return best;
  };
  std::size_t first = 0;
  for (std::size_t row = 1; row < n; ++row) {
    if (farther(distances[row * n + farthest(row)], distances[first * n + farthest(first)])) first = row;
  }
  std::size_t row = first;
  for (std::size_t step = 1; step < n; ++step) {
    const std::size_t next = farthest(row);
    partner[row] = static_cast<std::uint32_t>(next);
    left[row] = true;
    row = next;
  }
  partner[row] = static_cast<std::uint32_t>(first);
  return partner;
}

std::vector<double> squared_distances(std::span<const float> maps, std::size_t n, std::size_t pixels) {
  check_entries(maps.size(), n * pixels, "maps to compare");
  std::vector<double> distances(n * n, 0.0);
  std::vector<double> block(n * pixels_per_block, 0.0);
  for (std::size_t begin = 0; begin < pixels; begin += pixels_per_block) {
    const std::size_t count = std::min(pixels_per_block, pixels - begin);
    for (std::size_t i = 0; i < n; ++i) {
      double* of_map = &block[i * pixels_per_block];
      std::copy_n(&maps[i * pixels + begin], count, of_map);
      std::fill(of_map + count, of_map + pixels_per_block, 0.0);  // where the last block has no pixels
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i + 1; j < n; ++j)
        distances[i * n + j] += squared_distance(&block[i * pixels_per_block], &block[j * pixels_per_block]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i + 1; j < n; ++j) distances[j * n + i] = distances[i * n + j];
  }
  return distances;
}

}  // namespace deda::mixing
