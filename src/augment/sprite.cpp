#include "augment/sprite.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

namespace deda::augment {

namespace {

constexpr int border = 1;
constexpr std::size_t load_padding = 4;  // pixels behind the last that a wide load may touch
constexpr int rows_ahead = 8;
constexpr double fixed_one = 65536.0;

using Point = std::pair<double, double>;

std::uint8_t* bytes_at(PreparedCdp::Level& level, int y, int x) {
  return reinterpret_cast<std::uint8_t*>(
      &level
           .pixels[static_cast<std::size_t>(y + border) * static_cast<std::size_t>(level.width + 2 * border) +
                   static_cast<std::size_t>(x + border)]);
}

PreparedCdp::Level empty_level(int height, int width) {
  PreparedCdp::Level level{height, width, {}};
  level.pixels.assign(
      static_cast<std::size_t>(height + 2 * border) * static_cast<std::size_t>(width + 2 * border) +
          load_padding,
      0);
  return level;
}

PreparedCdp::Level premultiplied(const PartView& cdp) {
  PreparedCdp::Level level = empty_level(cdp.height, cdp.width);
  for (int y = 0; y < cdp.height; ++y) {
    const std::uint8_t* from =
        cdp.pixels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(cdp.width) * 4;
    for (int x = 0; x < cdp.width; ++x, from += 4) {
      std::uint8_t* to = bytes_at(level, y, x);
      for (int c = 0; c < 3; ++c) {
        const unsigned t = from[c] * from[3] + 128u;
        to[c] = static_cast<std::uint8_t>((t + (t >> 8)) >> 8);
      }
      to[3] = from[3];
    }
  }
  return level;
}

// Means of 2 x 2 pixels; behind the edge of an odd side all is transparent, as the border is.
PreparedCdp::Level halved(PreparedCdp::Level& finer) {
  PreparedCdp::Level level = empty_level((finer.height + 1) / 2, (finer.width + 1) / 2);
  for (int y = 0; y < level.height; ++y) {
    for (int x = 0; x < level.width; ++x) {
      const std::uint8_t *a = bytes_at(finer, 2 * y, 2 * x), *b = bytes_at(finer, 2 * y, 2 * x + 1);
      const std::uint8_t *c = bytes_at(finer, 2 * y + 1, 2 * x), *d = bytes_at(finer, 2 * y + 1, 2 * x + 1);
      std::uint8_t* to = bytes_at(level, y, x);
      for (int k = 0; k < 4; ++k) to[k] = static_cast<std::uint8_t>((a[k] + b[k] + c[k] + d[k] + 2) >> 2);
    }
  }
  return level;
}

double turn(const Point& o, const Point& a, const Point& b) {
  return (a.first - o.first) * (b.second - o.second) - (a.second - o.second) * (b.first - o.first);
}

// Convex hull (monotone chain) of the corners of every row's first and last visible pixel.
std::vector<Point> outline_of(const PartView& cdp) {
  std::vector<Point> corners;
  for (int y = 0; y < cdp.height; ++y) {
    const std::uint8_t* row =
        cdp.pixels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(cdp.width) * 4;
    int first = 0, last = cdp.width - 1;
    while (first < cdp.width && row[4 * first + 3] == 0) ++first;
    while (last >= first && row[4 * last + 3] == 0) --last;
    if (first > last) continue;
    for (const double edge : {static_cast<double>(y), y + 1.0}) {
      corners.emplace_back(first, edge);
      corners.emplace_back(last + 1, edge);
    }
  }
  if (corners.empty())
    return {{0.0, 0.0},
            {static_cast<double>(cdp.width), static_cast<double>(cdp.height)}};  // wholly transparent
  std::sort(corners.begin(), corners.end());
  std::vector<Point> hull;
  for (int pass = 0; pass < 2; ++pass) {
    const std::size_t start = hull.size();
    for (const Point& corner : corners) {
      while (hull.size() >= start + 2 && turn(hull[hull.size() - 2], hull.back(), corner) <= 0)
        hull.pop_back();
      hull.push_back(corner);
    }
    hull.pop_back();
    std::reverse(corners.begin(), corners.end());
  }
  return hull;
}

// Narrows [first, last) to the i for which 0 <= start + i * step < limit holds.
void clip(std::int64_t start, std::int64_t step, std::int64_t limit, std::int64_t& first,
          std::int64_t& last) {
  if (step == 0) {
    if (start < 0 || start >= limit) last = first;
    return;
  }
  const auto floor_div = [](std::int64_t a, std::int64_t b) {
    return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
  };
  // The smallest and largest i inside, by the direction of the walk.
  const std::int64_t low =
      step > 0 ? -floor_div(start, step)
               : floor_div(limit - 1 - start, step) + ((limit - 1 - start) % step != 0 ? 1 : 0);
  const std::int64_t high = step > 0 ? floor_div(limit - 1 - start, step) : floor_div(start, -step);
  first = std::max(first, low);
  last = std::min(last, high + 1);
  // Rounding of the bounds is settled by looking.
  while (first < last && (start + first * step < 0 || start + first * step >= limit)) ++first;
  while (first < last && (start + (last - 1) * step < 0 || start + (last - 1) * step >= limit)) --last;
}

// Asks the cache for rows [from, to) of a level and returns the greater of both. Samples walk aslant, which
// the processor's own prefetching does not follow; a CDP is seldom in the cache, as there are thousands.
int fetch_rows(const PreparedCdp::Level& level, int from, int to) {
  constexpr std::size_t pixels_per_line = cache_line_bytes / sizeof(std::uint32_t);
  const auto stride = static_cast<std::size_t>(level.width + 2 * border);
  for (std::size_t at = static_cast<std::size_t>(from) * stride;
       at < static_cast<std::size_t>(std::max(from, to)) * stride; at += pixels_per_line)
    __builtin_prefetch(level.pixels.data() + at);
  return std::max(from, to);
}

// For each row of the output the columns [first, last) that can hold anything visible: the span of the convex
// polygon `corners` (output coordinates), `margin` wider in all directions. A quarter of the box of a round
// object is empty, more when it is turned; those pixels need no samples.
void spans_of(const std::vector<Point>& corners, int height, int width, double margin,
              std::vector<std::pair<int, int>>& spans) {
  spans.assign(static_cast<std::size_t>(height), {width, 0});
  for (std::size_t i = 0; i < corners.size(); ++i) {
    Point a = corners[i], b = corners[(i + 1) % corners.size()];
    if (a.second > b.second) std::swap(a, b);
    const double slope = b.second > a.second ? (b.first - a.first) / (b.second - a.second) : 0.0;
    const int top = std::max(0, static_cast<int>(std::floor(a.second - margin))),
              bottom = std::min(height - 1, static_cast<int>(std::ceil(b.second + margin)));
    // A row holds what the edge touches within the margin above and below it.
    for (int row = top; row <= bottom; ++row) {
      const double upper = std::clamp(row - margin, a.second, b.second),
                   lower = std::clamp(row + 1 + margin, a.second, b.second);
      double left = a.first + (upper - a.second) * slope, right = a.first + (lower - a.second) * slope;
      if (b.second == a.second) right = b.first;
      if (left > right) std::swap(left, right);
      auto& [first, last] = spans[static_cast<std::size_t>(row)];
      first = std::min(first, std::max(0, static_cast<int>(std::floor(left - margin))));
      last = std::max(last, std::min(width, static_cast<int>(std::ceil(right + margin))));
    }
  }
}

// What a blur has to add to an edge that is sampled bilinearly at `scale` output pixels a pixel. Without
// edge_sigma, nothing.
double missing_variance(double softness, double scale, double edge_sigma) {
  // Bilinear weights spread a sample over 1/6 (pixels squared); differences of pixels, by which softness is
  // measured, have seen 1/12 of that.
  constexpr double of_sampling = 1.0 / 12;
  if (edge_sigma == 0) return 0;
  if (softness == PreparedCdp::not_measured)
    throw std::logic_error("a CDP that was prepared without its softness is to get a soft edge");
  return edge_sigma * edge_sigma - (softness * softness + of_sampling) * scale * scale;
}

// Lays out the sprite's pixels for a blur of that radius; only what is sampled is left to be written.
void make_room(int radius, Sprite& sprite) {
  constexpr int whole_blocks = 4;  // as soften_edges wants them
  sprite.reach = radius;
  sprite.room = 2 * radius;
  sprite.stride = sprite.width;
  if (radius > 0)
    sprite.stride = (sprite.width + 2 * sprite.room + whole_blocks - 1) / whole_blocks * whole_blocks;
  const auto stride = static_cast<std::size_t>(sprite.stride);
  sprite.pixels.resize(static_cast<std::size_t>(sprite.height + 2 * radius) * stride);
  if (radius == 0) return;
  const auto clear = [&](std::uint32_t* from, std::size_t count) { std::fill_n(from, count, 0u); };
  const auto rows_above = static_cast<std::size_t>(radius) * stride;
  clear(sprite.pixels.data(), rows_above);
  clear(sprite.pixels.data() + sprite.pixels.size() - rows_above, rows_above);
  for (int y = 0; y < sprite.height; ++y) {
    clear(sprite.row(y) - sprite.room, static_cast<std::size_t>(sprite.room));
    clear(sprite.row(y) + sprite.width, static_cast<std::size_t>(sprite.stride - sprite.room - sprite.width));
  }
}

std::int32_t cover_row(const RowKernels& kernels, Sprite& sprite, int y) {
  return kernels.cover(sprite.row(y), sprite.width,
                       &sprite.cover[static_cast<std::size_t>(y) * static_cast<std::size_t>(sprite.width)]);
}

}  // namespace

std::size_t PreparedCdp::bytes() const {
  std::size_t sum = sizeof(PreparedCdp) + outline.size() * sizeof(Point);
  for (const Level& level : levels) sum += level.pixels.size() * sizeof(std::uint32_t);
  return sum;
}

PreparedCdp prepare_cdp(const PartView& cdp, bool for_soft_edges) {
  PreparedCdp prepared;
  prepared.height = cdp.height;
  prepared.width = cdp.width;
  prepared.outline = outline_of(cdp);
  prepared.levels.push_back(premultiplied(cdp));
  constexpr int smallest_side = 8;
  while (std::min(prepared.levels.back().height, prepared.levels.back().width) >= 2 * smallest_side)
    prepared.levels.push_back(halved(prepared.levels.back()));
  if (!for_soft_edges) return prepared;
  for (PreparedCdp::Level& level : prepared.levels)
    level.softness = edge_softness(level.pixels.data(), level.height + 2 * border, level.width + 2 * border);
  return prepared;
}

void make_sprite(const PreparedCdp& cdp, double longer_side, double degrees, bool mirrored,
                 double max_enlarge, int limit, const RowKernels& kernels, Sprite& sprite,
                 double edge_sigma) {
  const double angle = degrees * std::numbers::pi / 180.0, cosine = std::cos(angle), sine = std::sin(angle);
  // Source (x, y) -> mirrored about the vertical axis -> turned counter-clockwise as seen (y points down).
  const double sign = mirrored ? -1.0 : 1.0;
  double left = 1e300, top = 1e300, right = -1e300, bottom = -1e300;
  for (const auto& [x, y] : cdp.outline) {
    const double u = sign * x * cosine + y * sine, v = -sign * x * sine + y * cosine;
    left = std::min(left, u);
    right = std::max(right, u);
    top = std::min(top, v);
    bottom = std::max(bottom, v);
  }
  double scale = longer_side / std::max(right - left, bottom - top);
  if (max_enlarge > 0) scale = std::min(scale, max_enlarge);
  sprite.width = std::clamp(static_cast<int>(std::lround((right - left) * scale)), 1, limit);
  sprite.height = std::clamp(static_cast<int>(std::lround((bottom - top) * scale)), 1, limit);
  sprite.cover.resize(static_cast<std::size_t>(sprite.width) * static_cast<std::size_t>(sprite.height));

  std::size_t number = 0;
  double level_scale = scale;  // output pixels per pixel of the level
  while (level_scale * 2 <= 1.0 && number + 1 < cdp.levels.size()) {
    level_scale *= 2;
    ++number;
  }
  const PreparedCdp::Level& level = cdp.levels[number];
  const double shrink = 1.0 / static_cast<double>(1u << number);
  const SymmetricWeights blur = blur_weights(missing_variance(level.softness, level_scale, edge_sigma));
  make_room(blur.radius, sprite);

  // Output (i + 1/2, j + 1/2) -> (u, v) -> source -> level -> index in the padded level (pixel centres at
  // whole numbers).
  const double step_u = (right - left) / sprite.width, step_v = (bottom - top) / sprite.height;
  const auto to_x = [&](double u, double v) {
    return sign * (u * cosine - v * sine) * shrink - 0.5 + border;
  };
  const auto to_y = [&](double u, double v) { return (u * sine + v * cosine) * shrink - 0.5 + border; };
  RowWalk walk{level.pixels.data(),
               level.width + 2 * border,
               0,
               0,
               static_cast<std::int32_t>(std::llround(sign * cosine * step_u * shrink * fixed_one)),
               static_cast<std::int32_t>(std::llround(sine * step_u * shrink * fixed_one))};
  const std::int64_t x_limit = static_cast<std::int64_t>(level.width + 1) << 16,
                     y_limit = static_cast<std::int64_t>(level.height + 1) << 16;
  // A pixel of the level is visible up to 1/2 + 1 level pixels away from the outline in x and y: half a pixel
  // that it averages over, one that a bilinear sample reaches. sqrt 2 of that at any angle.
  constexpr double reach_of_a_sample = 1.5 * std::numbers::sqrt2;
  const double margin = reach_of_a_sample / (shrink * std::min(step_u, step_v));
  std::vector<Point> corners;
  for (const auto& [x, y] : cdp.outline) {
    corners.emplace_back((sign * x * cosine + y * sine - left) / step_u,
                         (-sign * x * sine + y * cosine - top) / step_v);
  }
  std::vector<std::pair<int, int>> spans;
  spans_of(corners, sprite.height, sprite.width, margin, spans);
  int fetched = 0;
  sprite.area = 0;
  for (int j = 0; j < sprite.height; ++j) {
    const double u = left + 0.5 * step_u, v = top + (j + 0.5) * step_v;
    const std::int64_t x = std::llround(to_x(u, v) * fixed_one), y = std::llround(to_y(u, v) * fixed_one);
    std::int64_t first = spans[static_cast<std::size_t>(j)].first,
                 last = spans[static_cast<std::size_t>(j)].second;
    clip(x, walk.dx, x_limit, first, last);
    clip(y, walk.dy, y_limit, first, last);
    std::uint32_t* row = sprite.row(j);
    // The farthest row of the level that this row touches, and a few more.
    const std::int64_t deepest = std::max(y + first * walk.dy, y + last * walk.dy) >> 16;
    fetched = fetch_rows(
        level, fetched,
        static_cast<int>(std::min<std::int64_t>(deepest + 2 + rows_ahead, level.height + 2 * border)));
    if (first >= last) {
      std::memset(row, 0, static_cast<std::size_t>(sprite.width) * sizeof(std::uint32_t));
    } else {
      std::memset(row, 0, static_cast<std::size_t>(first) * sizeof(std::uint32_t));
      walk.x = static_cast<std::int32_t>(x + first * walk.dx);
      walk.y = static_cast<std::int32_t>(y + first * walk.dy);
      kernels.sample(walk, static_cast<int>(last - first), row + first);
      std::memset(row + last, 0, static_cast<std::size_t>(sprite.width - last) * sizeof(std::uint32_t));
    }
    if (blur.radius == 0) sprite.area += cover_row(kernels, sprite, j);
  }
  if (blur.radius == 0) return;
  soften_edges({sprite.pixels.data(), sprite.height, sprite.stride}, blur, kernels, sprite.scratch);
  for (int j = 0; j < sprite.height; ++j) sprite.area += cover_row(kernels, sprite, j);
}

}  // namespace deda::augment
