// The chaos game. Compiled without fused multiply-add (CMakeLists.txt): where one rounding more or less puts
// a point on the other side of a pixel's edge, the picture would be another one.
#include "diffusion/peers/fractals.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace deda::diffusion {

namespace {

constexpr std::size_t most_maps = 8;
constexpr std::uint32_t fewest_maps = 2;

// Of turned copies that lie over each other: cosine and sine of a full turn's n-th part, n = 1 to 6.
constexpr std::size_t most_copies = 6;
constexpr std::array<std::array<double, 2>, most_copies> turn_between_copies = {
    {{1, 0},
     {-1, 0},
     {-0.5, 0.8660254037844386},
     {0, 1},
     {0.30901699437494745, 0.9510565162951535},
     {0.5, 0.8660254037844386}}};

// Of 8 bits, with 8 more behind the point.
using Colour = std::array<std::uint32_t, 3>;
constexpr unsigned colour_bits = 8;
constexpr std::uint32_t full = 255u << colour_bits;

constexpr std::uint64_t points_per_pixel = 16;
static_assert(points_per_pixel * most_fractal_side * most_fractal_side * 255 <= UINT32_MAX,
              "all points in one pixel have to leave its sums whole");

// p -> A p + t
struct Affine {
  double a = 0, b = 0, c = 0, d = 0, x = 0, y = 0;
};

struct Point {
  double x = 0, y = 0;
};

struct System {
  std::size_t maps = 0;
  std::array<Affine, most_maps> map{};
  std::array<Colour, most_maps> colour{};
  std::array<std::uint8_t, 256> chosen{};  // map by a random byte: probabilities in 256ths
  std::array<Colour, 4> ground{};          // colours of the corners, behind everything
  std::size_t copies = 1;                  // each turned against the last about the middle of the view
};

// What the picture shows of the plane: a square.
struct View {
  Point middle;
  double side = 1;
};

// Cosine and sine of a random angle, by rejection in the unit disc: square roots are exact everywhere, libm's
// sines are not.
Point direction(RandomStream& draws) {
  constexpr int tries = 64;
  constexpr double least_square = 1e-4;  // below, few digits would be left
  for (int i = 0; i < tries; ++i) {
    const double x = draws.uniform(-1, 1), y = draws.uniform(-1, 1), square = x * x + y * y;
    if (square > 1 || square < least_square) continue;
    const double length = std::sqrt(square);
    return {x / length, y / length};
  }
  return {1, 0};  // once in 10^42
}

constexpr double hues = 6;  // once around: red, yellow, green, cyan, blue, magenta

// Any hue; saturation and value in 0..1.
Colour colour_of(double hue, double saturation, double value) {
  constexpr std::array<double, 3> offset{5, 3, 1};
  Colour colour{};
  for (std::size_t i = 0; i < colour.size(); ++i) {
    double place = hue + offset[i];
    while (place >= hues) place -= hues;
    while (place < 0) place += hues;
    const double slope = std::clamp(std::min(place, 4 - place), 0.0, 1.0);
    colour[i] = static_cast<std::uint32_t>(value * (1 - saturation * slope) * full);
  }
  return colour;
}

struct Range {
  double low, high;
};

double drawn_from(RandomStream& draws, const Range& range) {
  return draws.uniform(range.low, range.high);
}

Colour draw_colour(RandomStream& draws, double hue, const Range& saturations, const Range& values) {
  // Named, because the order of a call's arguments is the compiler's.
  const double saturation = drawn_from(draws, saturations), value = drawn_from(draws, values);
  return colour_of(hue, saturation, value);
}

// Maps whose singular values s1 >= s2 have a sum of s1 + 2 s2 between (5 + N) / 2 and (6 + N) / 2 give
// attractors that are neither dust nor blots (Anderson and Farrell, "Improving Fractal Pre-training", WACV
// 2022, section 3.1). False where one of these maps would not contract.
bool draw_maps(RandomStream& draws, System& system) {
  constexpr double most_stretch = 0.96, least_area = 0.02;  // a flat map has its share of the points too
  constexpr Range larger{0.3, 1}, smaller{0.15, 1},
      shift{-1, 1};  // larger and smaller before they are scaled
  system.maps = fewest_maps + draws.below(most_maps - fewest_maps + 1);
  std::array<double, most_maps> large{}, small{};
  double sum = 0;
  for (std::size_t i = 0; i < system.maps; ++i) {
    large[i] = drawn_from(draws, larger);
    small[i] = large[i] * drawn_from(draws, smaller);
    sum += large[i] + 2 * small[i];
  }
  const auto count = static_cast<double>(system.maps);
  const double factor = draws.uniform((5 + count) / 2, (6 + count) / 2) / sum;
  std::array<double, most_maps> area{};
  double areas = 0;
  for (std::size_t i = 0; i < system.maps; ++i) {
    large[i] *= factor;
    small[i] *= factor;
    if (large[i] > most_stretch) return false;
    const Point after = direction(draws), before = direction(draws);
    const double mirrored = draws.chance(0.5) ? -small[i] : small[i];
    // A = R(after) diag(large, mirrored) R(before)
    const double p = large[i] * before.x, q = -large[i] * before.y, r = mirrored * before.y,
                 s = mirrored * before.x;
    Affine& map = system.map[i];
    map = {after.x * p - after.y * r,
           after.x * q - after.y * s,
           after.y * p + after.x * r,
           after.y * q + after.x * s,
           0,
           0};
    map.x = drawn_from(draws, shift);
    map.y = drawn_from(draws, shift);
    area[i] = std::max(large[i] * small[i], least_area);
    areas += area[i];
  }
  double reached = 0;
  std::size_t byte = 0;
  for (std::size_t i = 0; i < system.maps; ++i) {
    const auto all = system.chosen.size();
    reached += area[i] / areas * static_cast<double>(all);
    const auto end = i + 1 == system.maps ? all : std::min(all, static_cast<std::size_t>(reached));
    for (; byte < end; ++byte) system.chosen[byte] = static_cast<std::uint8_t>(i);
  }
  return true;
}

// Bright maps of related hues before a dim ground of about the opposite one.
void draw_look(RandomStream& draws, System& system) {
  constexpr Range spreads{0.6, 4}, saturations{0.45, 1}, values{0.75, 1};
  constexpr Range ground_hues{-1, 1}, ground_saturations{0.3, 0.9}, ground_values{0.05, 0.5};
  constexpr double share_of_single_ones = 0.5;
  const double hue = draws.uniform(0, hues), spread = drawn_from(draws, spreads);
  for (std::size_t i = 0; i < system.maps; ++i) {
    const double own = hue + spread * draws.uniform();
    system.colour[i] = draw_colour(draws, own, saturations, values);
  }
  system.copies = draws.chance(share_of_single_ones) ? 1 : 2 + draws.below(most_copies - 1);
  const double opposite = hue + hues / 2 + drawn_from(draws, ground_hues);
  for (auto& corner : system.ground) {
    const double own = opposite + drawn_from(draws, ground_hues);
    corner = draw_colour(draws, own, ground_saturations, ground_values);
  }
}

// Plays the game from its beginning: visit(point, map) for each point but the first ones, which have not
// reached the attractor. `key`: of the random numbers, 16 choices from each block of them.
template <class Visit>
void play(const System& system, std::array<std::uint32_t, 2> key, std::size_t points, const Visit& visit) {
  constexpr std::size_t steps_to_reach_it = 32, choices = 16;
  Point point;
  std::array<std::uint32_t, 4> words{};
  for (std::size_t i = 0; i < points + steps_to_reach_it; ++i) {
    if (i % choices == 0) words = philox4x32({static_cast<std::uint32_t>(i / choices), 0, 0, 0}, key);
    std::uint32_t& word = words[i % choices / 4];
    const std::size_t chosen = system.chosen[word & 255];
    word >>= 8;
    const Affine& map = system.map[chosen];
    point = {map.a * point.x + map.b * point.y + map.x, map.c * point.x + map.d * point.y + map.y};
    if (i >= steps_to_reach_it) visit(point, chosen);
  }
}

// From the plane to cells of a grid over the view, each point into the next of the turned copies.
class Placer {
 public:
  Placer(const System& system, const View& view, std::size_t cells)
      : view_{view}, cells_{cells}, scale_{static_cast<double>(cells) / view.side}, copies_{system.copies} {
    for (std::size_t i = 1; i < copies_; ++i) {
      const auto& [cosine, sine] = turn_between_copies[copies_ - 1];
      const Point last = turns_[i - 1];
      turns_[i] = {last.x * cosine - last.y * sine, last.x * sine + last.y * cosine};
    }
  }
  // Row * cells + column; nothing outside.
  std::optional<std::size_t> place(const Point& point) {
    const double x = point.x - view_.middle.x, y = point.y - view_.middle.y;
    const Point& turn = turns_[copy_];
    if (++copy_ == copies_) copy_ = 0;
    const double half = static_cast<double>(cells_) / 2, column = (x * turn.x - y * turn.y) * scale_ + half,
                 row = (x * turn.y + y * turn.x) * scale_ + half;
    const auto end = static_cast<double>(cells_);
    if (!(column >= 0 && column < end && row >= 0 && row < end)) return std::nullopt;
    return static_cast<std::size_t>(row) * cells_ + static_cast<std::size_t>(column);
  }

 private:
  View view_;
  std::size_t cells_;
  double scale_;
  std::size_t copies_, copy_ = 0;
  std::array<Point, most_copies> turns_{{{1, 0}}};
};

struct Judged {
  View view;
  double covered = 0;  // share of a coarse grid that was met
  bool usable = false;
};

Judged judge(const System& system, std::array<std::uint32_t, 2> key) {
  constexpr std::size_t points = 6000, outliers = points / 50, grid = 24;
  constexpr double least_covered = 0.3, most_covered = 0.97, longest_aspect = 3, least_side = 1e-3,
                   border = 0.03;
  std::vector<double> xs, ys;
  xs.reserve(points);
  ys.reserve(points);
  play(system, key, points, [&](const Point& point, std::size_t) {
    xs.push_back(point.x);
    ys.push_back(point.y);
  });
  const auto nth = [](std::vector<double> values, std::size_t n) {
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(n);
    std::nth_element(values.begin(), place, values.end());
    return *place;
  };
  const Point low{nth(xs, outliers), nth(ys, outliers)},
      high{nth(xs, points - 1 - outliers), nth(ys, points - 1 - outliers)};
  const double width = high.x - low.x, height = high.y - low.y, longer = std::max(width, height),
               shorter = std::min(width, height);
  Judged judged;
  // A line or a dot; also where a number is not finite.
  if (!(shorter > least_side && longer <= longest_aspect * shorter)) return judged;
  // Between what shows all of it and what fills the square with it.
  judged.view = {{(low.x + high.x) / 2, (low.y + high.y) / 2},
                 std::sqrt(longer * shorter) * (1 + 2 * border)};
  Placer placer{system, judged.view, grid};
  std::array<bool, grid * grid> met{};
  for (std::size_t i = 0; i < points; ++i) {
    if (const auto cell = placer.place({xs[i], ys[i]})) met[*cell] = true;
  }
  judged.covered =
      static_cast<double>(std::count(met.begin(), met.end(), true)) / static_cast<double>(met.size());
  judged.usable = judged.covered >= least_covered && judged.covered <= most_covered;
  return judged;
}

// 2^10 log2(value), rounded down; value >= 1.
std::uint32_t log2_of(std::uint32_t value) {
  constexpr int bits = 10;
  std::uint32_t whole = 0;
  for (std::uint32_t rest = value; rest > 1; rest >>= 1) ++whole;
  std::uint64_t square = (std::uint64_t{value} << 31) >> whole;  // in [1, 2) with 31 bits behind the point
  std::uint32_t logarithm = whole;
  for (int i = 0; i < bits; ++i) {
    square = square * square >> 31;
    const auto next = static_cast<std::uint32_t>(square >> 32);
    logarithm = 2 * logarithm + next;
    square >>= next;
  }
  return logarithm;
}

struct Cell {
  std::uint32_t count = 0;             // of points
  std::array<std::uint32_t, 3> sum{};  // of their colours, 8 bits each
};

// How often a pixel was met that is as bright as can be: only 1 in 200 of those that were met at all was met
// more often.
std::uint32_t brightest_of(const std::vector<Cell>& cells) {
  constexpr std::size_t in_all = 200;
  std::vector<std::uint32_t> counts;
  counts.reserve(cells.size());
  for (const Cell& cell : cells) {
    if (cell.count > 0) counts.push_back(cell.count);
  }
  if (counts.empty()) return 1;
  const auto place = counts.end() - 1 - static_cast<std::ptrdiff_t>(counts.size() / in_all);
  std::nth_element(counts.begin(), place, counts.end());
  return *place;
}

// Colours and their shares are whole numbers here, so that nothing has to be rounded alike everywhere.
io::Image developed(const System& system, const std::vector<Cell>& cells, int side) {
  constexpr std::uint64_t whole = 1 << 12;  // of a share
  const std::uint64_t most = log2_of(1 + brightest_of(cells));
  const auto last = static_cast<std::uint64_t>(side) - 1;
  io::Image picture(side, side, 3);
  std::size_t place = 0;
  for (std::uint64_t y = 0; y <= last; ++y) {
    for (std::uint64_t x = 0; x <= last; ++x, ++place) {
      const Cell& cell = cells[place];
      const std::uint64_t share = std::min(whole, log2_of(1 + cell.count) * whole / most);
      for (std::size_t i = 0; i < cell.sum.size(); ++i) {
        const auto between = [&](std::size_t left, std::size_t right) {
          return system.ground[left][i] * (last - x) + system.ground[right][i] * x;
        };
        const std::uint64_t ground = (between(0, 1) * (last - y) + between(2, 3) * y) / (last * last);
        const std::uint64_t own =
            cell.count == 0 ? 0 : (std::uint64_t{cell.sum[i]} << colour_bits) / cell.count;
        picture.pixels[3 * place + i] =
            static_cast<std::uint8_t>((ground * (whole - share) + own * share) / whole >> colour_bits);
      }
    }
  }
  return picture;
}

}  // namespace

io::Image draw_fractal(std::uint64_t seed, std::uint64_t number, int side) {
  if (side < least_fractal_side || side > most_fractal_side)
    throw ConfigError(fmt::format("a fractal of {} x {} pixels cannot be drawn", side, side), {},
                      fmt::format("Sides are {} to {}.", least_fractal_side, most_fractal_side));
  constexpr std::uint32_t most_tries = 100;  // four in five are usable
  System system;
  Judged judged;
  std::array<std::uint32_t, 2> key{};
  for (std::uint32_t i = 0; i < most_tries && !judged.usable; ++i) {
    RandomStream draws{seed, Purpose::fractal, i, number};
    key = {draws.bits(), draws.bits()};
    system = {};
    if (!draw_maps(draws, system)) continue;
    draw_look(draws, system);
    judged = judge(system, key);
  }
  if (!judged.usable)
    throw ModelError(
        fmt::format("fractal {} of seed {} has no usable system in {} tries", number, seed, most_tries));
  const auto n = static_cast<std::size_t>(side);
  std::vector<Cell> cells(n * n);
  Placer placer{system, judged.view, n};
  Colour colour{};
  play(system, key, points_per_pixel * n * n, [&](const Point& point, std::size_t map) {
    for (std::size_t i = 0; i < 3; ++i) colour[i] = (colour[i] + system.colour[map][i]) / 2;
    const auto place = placer.place(point);
    if (!place) return;
    Cell& cell = cells[*place];
    ++cell.count;
    for (std::size_t i = 0; i < 3; ++i) cell.sum[i] += colour[i] >> colour_bits;
  });
  return developed(system, cells, side);
}

}  // namespace deda::diffusion
