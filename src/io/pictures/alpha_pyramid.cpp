#include "io/pictures/alpha_pyramid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace deda::io {

namespace {

// A pixel is four floats: premultiplied R, G, B and alpha, which all go through the same arithmetic. Plain
// vectors of four are in the base instruction set of x86-64 and AArch64; no fused multiply-add
// (CMakeLists.txt forbids contraction), so the same bytes everywhere.
using Pixel = float __attribute__((vector_size(16)));

Pixel of_all(float value) {
  return Pixel{value, value, value, value};
}

struct Size {
  int height = 0, width = 0;
};

Size smaller(const Size& size, double ratio) {
  return {std::max(1, static_cast<int>(size.height / ratio)),
          std::max(1, static_cast<int>(size.width / ratio))};
}

// Not initialised: every pixel that is read has been written.
struct Plane {
  Size size;
  std::unique_ptr<Pixel[]> pixels;
  Plane() = default;
  explicit Plane(const Size& given)
      : size{given},
        pixels{new Pixel[static_cast<std::size_t>(given.height) * static_cast<std::size_t>(given.width)]} {}
  Pixel* row(int y) const {
    return pixels.get() + static_cast<std::size_t>(y) * static_cast<std::size_t>(size.width);
  }
};

// The pixels [left, right) x [top, bottom).
struct Region {
  int left = 0, top = 0, right = 0, bottom = 0;
};

// The finest level, a row at a time: whole it would be most of the memory that a fill goes through.
class BaseRows {
 public:
  BaseRows(const Image& colour, const Image& known)
      : colour_{colour}, known_{known}, row_(static_cast<std::size_t>(colour.width)) {}
  Size size() const { return {colour_.height, colour_.width}; }
  // Valid until the next call.
  const Pixel* operator()(int y) {
    if (y == made_) return row_.data();
    made_ = y;
    constexpr float scale = 1.0f / 255.0f;
    const std::uint8_t *from = colour_.row(y), *mask = known_.row(y);
    for (std::size_t x = 0; x < row_.size(); ++x, from += 3) {
      const float alpha = static_cast<float>(mask[x]) * scale;
      const Pixel straight = {static_cast<float>(from[0]), static_cast<float>(from[1]),
                              static_cast<float>(from[2]), 255.0f};
      row_[x] = straight * of_all(scale) * of_all(alpha);
    }
    return row_.data();
  }

 private:
  const Image &colour_, &known_;
  std::vector<Pixel> row_;
  int made_ = -1;
};

// Area means along one axis: output i is the sum of weights[k] * input[first + k] over its taps.
struct AreaTaps {
  struct Output {
    int first = 0, count = 0;
    std::size_t weights = 0;  // where they begin
  };
  std::vector<Output> outputs;
  std::vector<float> weights;
};

AreaTaps area_taps(int from, int to) {
  constexpr double least_overlap = 1e-3;  // of a pixel; less is rounding of the scale
  const double scale = static_cast<double>(from) / to;
  AreaTaps taps;
  for (int i = 0; i < to; ++i) {
    const double begin = i * scale, end = std::min<double>(begin + scale, from);
    AreaTaps::Output output{static_cast<int>(begin), 0, taps.weights.size()};
    for (int k = output.first; k < from && k < end; ++k) {
      const double overlap = std::min<double>(k + 1, end) - std::max<double>(k, begin);
      if (overlap > least_overlap) {
        taps.weights.push_back(static_cast<float>(overlap / (end - begin)));
        ++output.count;
      } else if (output.count == 0) {
        ++output.first;
      }
    }
    taps.outputs.push_back(output);
  }
  return taps;
}

// sums := weighted sum of `count` rows of `width` pixels.
template <class RowOf>
void add_rows(RowOf&& row_of, int first, const float* weights, int count, Pixel* sums, int width) {
  for (int k = 0; k < count; ++k) {
    const Pixel weight = of_all(weights[k]);
    const Pixel* from = row_of(first + k);
    if (k == 0) {
      for (int x = 0; x < width; ++x) sums[x] = from[x] * weight;
    } else {
      for (int x = 0; x < width; ++x) sums[x] += from[x] * weight;
    }
  }
}

template <class RowOf>
Plane area_mean(const Size& finer, RowOf&& row_of, const Size& size) {
  const AreaTaps across = area_taps(finer.width, size.width), down = area_taps(finer.height, size.height);
  Plane coarser(size);
  std::vector<Pixel> sums(static_cast<std::size_t>(finer.width));
  for (int y = 0; y < size.height; ++y) {
    const AreaTaps::Output& rows = down.outputs[static_cast<std::size_t>(y)];
    add_rows(row_of, rows.first, &down.weights[rows.weights], rows.count, sums.data(), finer.width);
    Pixel* out = coarser.row(y);
    for (int x = 0; x < size.width; ++x) {
      const AreaTaps::Output& columns = across.outputs[static_cast<std::size_t>(x)];
      const float* weight = &across.weights[columns.weights];
      const Pixel* from = &sums[static_cast<std::size_t>(columns.first)];
      Pixel sum = from[0] * of_all(weight[0]);
      if (columns.count > 1) sum += from[1] * of_all(weight[1]);  // two or three at the usual ratio
      for (int k = 2; k < columns.count; ++k) sum += from[k] * of_all(weight[k]);
      out[x] = sum;
    }
  }
  return coarser;
}

// Linear interpolation between pixel centres along one axis, edges repeated: output i is
// input[first] * (1 - share) + input[second] * share.
struct Between {
  int first = 0, second = 0;
  float share = 0;
};

Between between(int i, int from, int to) {
  const double scale = static_cast<double>(from) / to;
  const auto place = static_cast<float>((i + 0.5) * scale - 0.5);
  const int low = static_cast<int>(std::floor(place));
  if (low < 0) return {0, 0, 0.0f};
  if (low >= from - 1) return {from - 1, from - 1, 0.0f};
  return {low, low + 1, place - static_cast<float>(low)};
}

// What of a coarser level the pixels of `region` look at.
Region seen_by(const Region& region, const Size& finer, const Size& coarser) {
  return {between(region.left, coarser.width, finer.width).first,
          between(region.top, coarser.height, finer.height).first,
          between(region.right - 1, coarser.width, finer.width).second + 1,
          between(region.bottom - 1, coarser.height, finer.height).second + 1};
}

// level + interpolated coarser * (1 - alpha of level), within the region: rows of the level come from
// `row_of`, what is made goes to `row_to`, and `made(y)` is told when a row is ready.
template <class RowOf, class RowTo, class Made>
void cover(const Size& level, RowOf&& row_of, const Plane& coarser, const Region& region, RowTo&& row_to,
           Made&& made) {
  std::vector<Between> columns;
  for (int x = region.left; x < region.right; ++x)
    columns.push_back(between(x, coarser.size.width, level.width));
  const int left = columns.front().first, right = columns.back().second + 1;
  std::vector<Pixel> mixed(static_cast<std::size_t>(right - left));
  for (int y = region.top; y < region.bottom; ++y) {
    const Between rows = between(y, coarser.size.height, level.height);
    const Pixel *upper = coarser.row(rows.first) + left, *lower = coarser.row(rows.second) + left;
    const Pixel lower_share = of_all(rows.share), upper_share = of_all(1.0f - rows.share);
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = upper[i] * upper_share + lower[i] * lower_share;
    const Pixel* over = row_of(y);
    Pixel* to = row_to(y);
    for (int x = region.left; x < region.right; ++x) {
      const Between& place = columns[static_cast<std::size_t>(x - region.left)];
      const Pixel under = mixed[static_cast<std::size_t>(place.first - left)] * of_all(1.0f - place.share) +
                          mixed[static_cast<std::size_t>(place.second - left)] * of_all(place.share);
      to[x] = over[x] + under * of_all(1.0f - over[x][3]);
    }
    made(y);
  }
}

// One colour for what even the coarsest level does not know.
template <class RowOf>
Pixel mean_colour(const Size& size, RowOf&& row_of) {
  constexpr double least_weight = 1e-8;
  std::array<double, 4> sum{};
  for (int y = 0; y < size.height; ++y) {
    const Pixel* row = row_of(y);
    for (int x = 0; x < size.width; ++x) {
      for (int c = 0; c < 4; ++c) sum[static_cast<std::size_t>(c)] += static_cast<double>(row[x][c]);
    }
  }
  const double weight = std::max(sum[3], least_weight);
  return Pixel{static_cast<float>(sum[0] / weight), static_cast<float>(sum[1] / weight),
               static_cast<float>(sum[2] / weight), 0.0f};
}

// Fills the region; use(y, row) is called for each of its rows with the whole row's pixels, valid from the
// region's left to its right.
template <class Use>
void fill_region(const Image& colour, const Image& known, double ratio, const Region& region, Use&& use) {
  BaseRows base(colour, known);
  const auto rows_of = [](const Plane& plane) { return [&plane](int y) { return plane.row(y); }; };
  std::vector<Size> sizes = {base.size()};
  while (std::min(sizes.back().height, sizes.back().width) > 1) sizes.push_back(smaller(sizes.back(), ratio));
  std::vector<Plane> levels(sizes.size());  // the first stays empty: it is `base`
  for (std::size_t k = 1; k < sizes.size(); ++k)
    levels[k] = k == 1 ? area_mean(sizes[0], base, sizes[1])
                       : area_mean(sizes[k - 1], rows_of(levels[k - 1]), sizes[k]);
  // Going up, only what the region looks at is covered.
  std::vector<Region> regions = {region};
  for (std::size_t k = 1; k < sizes.size(); ++k)
    regions.push_back(seen_by(regions.back(), sizes[k - 1], sizes[k]));
  Plane fill(Size{1, 1});
  fill.pixels[0] =
      sizes.size() == 1 ? mean_colour(sizes[0], base) : mean_colour(sizes.back(), rows_of(levels.back()));
  for (std::size_t k = sizes.size() - 1; k > 0; --k) {
    Plane covered(sizes[k]);
    cover(sizes[k], rows_of(levels[k]), fill, regions[k], rows_of(covered), [](int) {});
    fill = std::move(covered);
    levels[k] = {};  // memory falls as the fill rises
  }
  std::vector<Pixel> row(static_cast<std::size_t>(colour.width));
  cover(
      sizes[0], base, fill, region, [&](int) { return row.data(); }, [&](int y) { use(y, row.data()); });
}

// The smallest region that holds all pixels that are not wholly known; empty where all are.
Region unknown_region(const Image& known) {
  Region region{known.width, known.height, 0, 0};
  const auto is_unknown = [](std::uint8_t value) { return value != 255; };
  for (int y = 0; y < known.height; ++y) {
    const std::uint8_t *row = known.row(y), *end = row + known.width,
                       *first = std::find_if(row, end, is_unknown);
    if (first == end) continue;
    const std::uint8_t* last = end;
    while (!is_unknown(last[-1])) --last;
    region = {std::min(region.left, static_cast<int>(first - row)), std::min(region.top, y),
              std::max(region.right, static_cast<int>(last - row)), y + 1};
  }
  return region;
}

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::clamp(value * 255.0f + 0.5f, 0.0f, 255.0f));
}

}  // namespace

int alpha_pyramid_levels(int height, int width, double ratio) {
  int levels = 1;
  for (Size size{height, width}; std::min(size.width, size.height) > 1; size = smaller(size, ratio)) ++levels;
  return levels;
}

std::vector<float> alpha_pyramid_colours(const Image& colour, const Image& known, double ratio) {
  std::vector<float> colours;
  if (colour.empty()) return colours;
  colours.resize(3 * static_cast<std::size_t>(colour.height) * static_cast<std::size_t>(colour.width));
  float* to = colours.data();
  fill_region(colour, known, ratio, {0, 0, colour.width, colour.height}, [&](int, const Pixel* row) {
    for (int x = 0; x < colour.width; ++x, to += 3) std::memcpy(to, &row[x], 3 * sizeof(float));
  });
  return colours;
}

Image fill_by_alpha_pyramid(const Image& colour, const Image& known, double ratio) {
  Image out = colour;
  const Region region = unknown_region(known);
  if (region.bottom == 0) return out;
  fill_region(colour, known, ratio, region, [&](int y, const Pixel* from) {
    const std::uint8_t* mask = known.row(y);
    std::uint8_t* to = out.row(y);
    for (int x = region.left; x < region.right; ++x) {
      if (mask[x] == 255) continue;
      for (int c = 0; c < 3; ++c) to[3 * x + c] = to_byte(from[x][c]);
    }
  });
  return out;
}

}  // namespace deda::io
