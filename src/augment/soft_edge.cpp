#include "augment/soft_edge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace deda::augment {

namespace {

constexpr int block = 4;  // columns that are looked at, and worked on, together

// What a block's alpha is, as bits: blocks together are their union, and only one that has both is an edge.
constexpr std::uint8_t clear = 1, opaque = 2, edge = clear | opaque;

std::uint8_t content_of(const std::uint32_t* pixels) {
  std::uint32_t all = ~0u, any = 0;
  for (int i = 0; i < block; ++i) {
    all &= pixels[i];
    any |= pixels[i];
  }
  return any >> 24 == 0 ? clear : all >> 24 == 255 ? opaque : edge;
}

// out[row] := union of rows [row - reach, row + reach] of `rows` rows, the first of which is number `first`.
void unite_rows(const std::vector<std::uint8_t>& in, int rows, int columns, int first, int reach, int row,
                std::uint8_t outside, std::uint8_t* out) {
  const int from = row - reach - first, to = row + reach - first;
  std::fill_n(out, columns, from < 0 || to >= rows ? outside : std::uint8_t{0});
  for (int k = std::max(0, from); k <= std::min(rows - 1, to); ++k) {
    const std::uint8_t* at = &in[static_cast<std::size_t>(k) * static_cast<std::size_t>(columns)];
    for (int i = 0; i < columns; ++i) out[i] |= at[i];
  }
}

// Calls work(first column, count) for each run of blocks that are set, within [least, most).
template <class Work>
void for_runs(const std::uint8_t* set, int blocks, int least, int most, const Work& work) {
  for (int b = 0; b < blocks; ++b) {
    if (set[b] == 0) continue;
    const int begin = b;
    while (b < blocks && set[b] != 0) ++b;
    const int first = std::max(least, begin * block), last = std::min(most, b * block);
    if (first < last) work(first, last - first);
  }
}

}  // namespace

double edge_softness(const std::uint32_t* pixels, int height, int width) {
  // Differences of neighbours in 2 x 2 pixels, twice as large as slopes in 1/255. Those below 5/255 are
  // noise.
  constexpr int least = 10;
  constexpr double unit = 2 * 255.0;
  double slopes = 0;
  std::int64_t squares = 0;
  for (int y = 0; y + 1 < height; ++y) {
    const std::uint32_t* upper = pixels + static_cast<std::ptrdiff_t>(y) * width;
    const std::uint32_t* lower = upper + width;
    for (int x = 0; x + 1 < width; ++x) {
      // Most of a picture is flat and is passed over by the block.
      const bool whole_block = x + block < width;
      if (whole_block && (content_of(upper + x) | content_of(lower + x) | content_of(upper + x + 1) |
                          content_of(lower + x + 1)) != edge) {
        x += block - 1;
        continue;
      }
      const int a = static_cast<int>(upper[x] >> 24), b = static_cast<int>(upper[x + 1] >> 24),
                c = static_cast<int>(lower[x] >> 24), d = static_cast<int>(lower[x + 1] >> 24);
      const int across = b + d - a - c, down = c + d - a - b;
      const int square = across * across + down * down;
      if (square < least * least) continue;
      slopes += std::sqrt(static_cast<double>(square));
      squares += square;
    }
  }
  if (squares == 0) return std::numeric_limits<double>::infinity();
  // Across a Gaussian edge slopes add up to 1 and their squares to 1 / (2 sqrt(pi) sigma).
  return slopes * unit / (2 * std::sqrt(std::numbers::pi) * static_cast<double>(squares));
}

SymmetricWeights blur_weights(double variance) {
  SymmetricWeights weights;
  constexpr int half = 256 / 2;
  weights.values[0] = 2 * half;
  if (!(variance > 0)) return weights;
  // Diffusion: each step adds its share to the variance exactly, which a sampled Gaussian narrower than a
  // pixel would not.
  constexpr double largest_step = 0.25;
  constexpr std::size_t reach = 40;  // eight sigmas of the widest blur
  std::array<double, reach + 2> density{1.0}, next{};
  const int steps = std::max(1, static_cast<int>(std::ceil(variance / largest_step)));
  const double rate = variance / (2 * steps);
  for (int step = 0; step < steps; ++step) {
    for (std::size_t k = 0; k <= reach; ++k)
      next[k] = density[k] + rate * (density[k == 0 ? 1 : k - 1] - 2 * density[k] + density[k + 1]);
    density = next;
  }
  // Sums from outside are rounded, not weights, so that no error gathers in the middle.
  double outside = 0;
  int given = 0;
  for (std::size_t k = reach; k >= 1; --k) {
    outside += density[k];
    const int whole = static_cast<int>(std::lround(outside * 2 * half));
    if (k > SymmetricWeights::most_radius || whole == given) continue;
    if (weights.radius == 0) weights.radius = static_cast<int>(k);
    weights.values[k] = static_cast<std::uint16_t>(whole - given);
    given = whole;
  }
  weights.values[0] = static_cast<std::uint16_t>(2 * (half - given));
  return weights;
}

void soften_edges(const PictureWithRoom& picture, const SymmetricWeights& weights, const RowKernels& kernels,
                  SoftEdgeScratch& scratch) {
  const int radius = weights.radius, height = picture.height, stride = picture.stride;
  const int blocks = stride / block, rows = height + 2 * radius;
  const auto at = [](int row, int columns) {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns);
  };
  const auto pixels = [&](int row) { return picture.pixels + at(row + radius, stride); };

  // Blocks whose neighbourhood is neither all clear nor all opaque.
  const int reach = (radius + block - 1) / block;
  scratch.content.assign(static_cast<std::size_t>(blocks + 2 * reach), clear);
  scratch.near_content.resize(at(height, blocks));
  for (int row = 0; row < height; ++row) {
    for (int b = 0; b < blocks; ++b)
      scratch.content[static_cast<std::size_t>(reach + b)] = content_of(pixels(row) + b * block);
    std::uint8_t* near = &scratch.near_content[at(row, blocks)];
    std::copy_n(scratch.content.data(), blocks, near);
    for (int k = 1; k <= 2 * reach; ++k) {
      for (int b = 0; b < blocks; ++b) near[b] |= scratch.content[static_cast<std::size_t>(b + k)];
    }
  }
  scratch.active.resize(at(rows, blocks));
  for (int row = -radius; row < height + radius; ++row) {
    std::uint8_t* active = &scratch.active[at(row + radius, blocks)];
    unite_rows(scratch.near_content, height, blocks, 0, radius, row, clear, active);
    for (int b = 0; b < blocks; ++b) active[b] = active[b] == edge ? 1 : 0;
  }

  // Along the rows as far as anything active will look, then down the columns.
  scratch.needed.resize(static_cast<std::size_t>(blocks));
  scratch.blurred.resize(at(height, stride));
  for (int row = 0; row < height; ++row) {
    unite_rows(scratch.active, rows, blocks, -radius, radius, row, 0, scratch.needed.data());
    for_runs(scratch.needed.data(), blocks, radius, stride - radius, [&](int first, int count) {
      kernels.blur_along(pixels(row) + first, weights, count, &scratch.blurred[at(row, stride)] + first);
    });
  }
  scratch.nothing.assign(static_cast<std::size_t>(stride), 0);
  for (int row = -radius; row < height + radius; ++row) {
    for_runs(&scratch.active[at(row + radius, blocks)], blocks, radius, stride - radius,
             [&](int first, int count) {
               std::array<const std::uint32_t*, 2 * SymmetricWeights::most_radius + 1> around;
               for (int k = -radius; k <= radius; ++k) {
                 const bool inside = row + k >= 0 && row + k < height;
                 around[static_cast<std::size_t>(radius + k)] =
                     (inside ? &scratch.blurred[at(row + k, stride)] : scratch.nothing.data()) + first;
               }
               kernels.soften(around.data(), weights, count, pixels(row) + first);
             });
  }
}

}  // namespace deda::augment
