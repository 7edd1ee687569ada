#include "augment/picture_operations.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numbers>

#include "augment/operation_loops.h"

namespace deda::augment {

namespace {

constexpr std::size_t channels = 3;

// A picture in place.
struct Picture {
  int height, width;
  std::uint8_t* pixels;
  std::size_t row_bytes() const { return static_cast<std::size_t>(width) * channels; }
  std::size_t pixel_count() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
  std::size_t bytes() const { return pixel_count() * channels; }
  std::uint8_t* row(int y) const { return pixels + static_cast<std::size_t>(y) * row_bytes(); }
};

// Copies the picture to the scratch, so that it can be written anew from there. The copy begins half a page
// away from the picture's place in its own page: processors take a load for one of what was just stored where
// both addresses end alike.
const std::uint8_t* copied(const Picture& picture, OperationScratch& scratch) {
  constexpr std::size_t page = 4096, reach = 4;  // bytes that a load of the last pixel may touch
  scratch.picture.resize(picture.bytes() + reach + page);
  const auto ends = [](const std::uint8_t* at) { return reinterpret_cast<std::uintptr_t>(at) % page; };
  std::uint8_t* const copy =
      scratch.picture.data() + (ends(picture.pixels) + page / 2 + page - ends(scratch.picture.data())) % page;
  std::memcpy(copy, picture.pixels, picture.bytes());
  return copy;
}

// Where pixel (x, y) of the result comes from: (a x + b y + c, d x + e y + f) for the centres of pixels, as
// in Pillow's Image.transform.
struct Affine {
  double a, b, c, d, e, f;
};

// ---- nearest neighbour, Pillow's 16.16 fixed point (Geometry.c, affine_fixed)

constexpr int fixed_shift = 16;

std::int64_t to_fixed(double value) {
  return static_cast<std::int64_t>(std::floor(value * 65536.0 + 0.5));
}

// Narrows [first, last) to the x for which 0 <= start + x * step < limit holds, limit > 0. Nothing is left
// where last <= first.
void clip(std::int64_t start, std::int64_t step, std::int64_t limit, std::int64_t& first,
          std::int64_t& last) {
  if (step == 0) {
    if (start < 0 || start >= limit) last = first;
    return;
  }
  const auto ceil_div = [](std::int64_t value, std::int64_t by) {  // by > 0
    return value >= 0 ? (value + by - 1) / by : -(-value / by);
  };
  if (step > 0) {
    first = std::max(first, ceil_div(-start, step));
    last = std::min(last, ceil_div(limit - start, step));
  } else {
    first = std::max(first, ceil_div(start - limit + 1, -step));
    last = std::min(last, ceil_div(start + 1, -step));
  }
}

void transform(const Affine& from, const Picture& picture, const OperationLoops& loops,
               OperationScratch& scratch) {
  const std::uint8_t* source = copied(picture, scratch);
  const std::int64_t dx = to_fixed(from.a), dy = to_fixed(from.d), next_x = to_fixed(from.b),
                     next_y = to_fixed(from.e);
  std::int64_t x = to_fixed(from.c + from.a * 0.5 + from.b * 0.5),
               y = to_fixed(from.f + from.d * 0.5 + from.e * 0.5);
  const std::int64_t x_limit = static_cast<std::int64_t>(picture.width) << fixed_shift,
                     y_limit = static_cast<std::int64_t>(picture.height) << fixed_shift;
  const bool whole_runs = dx == std::int64_t{1} << fixed_shift && dy == 0;  // a shifted row
  for (int j = 0; j < picture.height; ++j, x += next_x, y += next_y) {
    std::int64_t first = 0, last = picture.width;
    clip(x, dx, x_limit, first, last);
    clip(y, dy, y_limit, first, last);
    if (last <= first) first = last = 0;
    std::uint8_t* row = picture.row(j);
    const std::size_t begin = static_cast<std::size_t>(first) * channels,
                      end = static_cast<std::size_t>(last) * channels;
    std::memset(row, 0, begin);
    if (whole_runs && last > first)
      std::memcpy(row + begin,
                  source + static_cast<std::size_t>(y >> fixed_shift) * picture.row_bytes() +
                      static_cast<std::size_t>((x + first * dx) >> fixed_shift) * channels,
                  end - begin);
    else
      loops.gather({source, static_cast<std::int32_t>(picture.row_bytes()),
                    static_cast<std::int32_t>(x + first * dx), static_cast<std::int32_t>(y + first * dy),
                    static_cast<std::int32_t>(dx), static_cast<std::int32_t>(dy)},
                   static_cast<std::size_t>(last - first), row + begin);
    std::memset(row + end, 0, picture.row_bytes() - end);
  }
}

// ---- the geometric operations' maps, with torchvision's and Pillow's own order of double operations

constexpr double degree = std::numbers::pi / 180.0;

// torchvision's inverse matrix of a shear by `slope` about the top left corner. The slope goes through
// degrees, as _apply_op hands it to F.affine.
Affine sheared(double slope_x, double slope_y) {
  const auto through_degrees = [](double slope) {
    return std::atan(slope) * (180.0 / std::numbers::pi) * degree;
  };
  const double x = through_degrees(slope_x), y = through_degrees(slope_y);
  const double a = std::cos(-y) / std::cos(y), b = -std::cos(-y) * std::tan(x) / std::cos(y),
               c = std::sin(-y) / std::cos(y), d = -std::sin(-y) * std::tan(x) / std::cos(y) + 1.0;
  return {d, -b, 0, -c, a, 0};
}

// Python's round(value, 15).
double rounded(double value) {
  const std::string digits = fmt::format("{:.15f}", value);
  double nearest = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), nearest);
  return nearest;
}

// Pillow's Image.rotate about the middle, counter-clockwise.
Affine rotated(double degrees, int height, int width) {
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360.0;
  const double angle = -(turn * degree);
  Affine map{rounded(std::cos(angle)),  rounded(std::sin(angle)), 0,
             rounded(-std::sin(angle)), rounded(std::cos(angle)), 0};
  const double x = width / 2.0, y = height / 2.0;
  map.c = map.a * -x + map.b * -y + 0.0 + x;
  map.f = map.d * -x + map.e * -y + 0.0 + y;
  return map;
}

// ---- colour

void adjust_brightness(float factor, const Picture& picture, const OperationLoops& loops) {
  loops.blend_with_value(picture.pixels, picture.bytes(), 0, factor);
}

void adjust_contrast(float factor, const Picture& picture, const OperationLoops& loops) {
  const double mean = static_cast<double>(loops.grey_sum(picture.pixels, picture.pixel_count())) /
                      static_cast<double>(picture.pixel_count());
  loops.blend_with_value(picture.pixels, picture.bytes(), static_cast<std::uint8_t>(mean + 0.5), factor);
}

void adjust_saturation(float factor, const Picture& picture, const OperationLoops& loops,
                       OperationScratch& scratch) {
  scratch.row.resize(picture.row_bytes());
  for (int y = 0; y < picture.height; ++y) {
    loops.grey(picture.row(y), static_cast<std::size_t>(picture.width), scratch.row.data());
    loops.blend_with(scratch.row.data(), picture.row(y), picture.row_bytes(), factor);
  }
}

void adjust_sharpness(float factor, const Picture& picture, const OperationLoops& loops,
                      OperationScratch& scratch) {
  // The first and the last row of Pillow's SMOOTH are the picture's own, as are its columns: blending leaves
  // them.
  if (picture.height < 3 || picture.width < 3) return;
  const std::uint8_t* source = copied(picture, scratch);
  scratch.row.resize(picture.row_bytes());
  for (int y = 1; y + 1 < picture.height; ++y) {
    const std::uint8_t* row = source + static_cast<std::size_t>(y) * picture.row_bytes();
    loops.smooth(row - picture.row_bytes(), row, row + picture.row_bytes(), picture.row_bytes(),
                 scratch.row.data());
    loops.blend_with(scratch.row.data(), picture.row(y), picture.row_bytes(), factor);
  }
}

bool is_identity(const std::array<std::uint8_t, 256>& table) {
  for (std::size_t value = 0; value < 256; ++value) {
    if (table[value] != value) return false;
  }
  return true;
}

void look_up_unless_identity(const ChannelTables& tables, const Picture& picture,
                             const OperationLoops& loops) {
  if (is_identity(tables[0]) && is_identity(tables[1]) && is_identity(tables[2])) return;
  loops.look_up(picture.pixels, picture.pixel_count(), tables);
}

void identity_table(std::array<std::uint8_t, 256>& table) {
  for (std::size_t value = 0; value < 256; ++value) table[value] = static_cast<std::uint8_t>(value);
}

// Pillow's ImageOps.autocontrast without cutoff: each channel stretched to 0..255.
void auto_contrast(const Picture& picture, const OperationLoops& loops) {
  const ChannelExtremes found = loops.extremes(picture.pixels, picture.pixel_count());
  ChannelTables tables;
  for (std::size_t c = 0; c < channels; ++c) {
    if (found.most[c] <= found.least[c]) {
      identity_table(tables[c]);
      continue;
    }
    const double scale = 255.0 / (found.most[c] - found.least[c]), offset = -found.least[c] * scale;
    for (int value = 0; value < 256; ++value)
      tables[c][static_cast<std::size_t>(value)] =
          static_cast<std::uint8_t>(std::clamp(static_cast<int>(value * scale + offset), 0, 255));
  }
  look_up_unless_identity(tables, picture, loops);
}

// Pillow's ImageOps.equalize.
void equalize(const Picture& picture, const OperationLoops& loops) {
  const auto counts = histograms(picture.pixels, picture.pixel_count());
  ChannelTables tables;
  for (std::size_t c = 0; c < channels; ++c) {
    const auto& count = counts[c];
    std::size_t last = 255;
    while (count[last] == 0) --last;
    const std::uint64_t step = (picture.pixel_count() - count[last]) / 255;
    if (step == 0) {  // also where there is one value alone
      identity_table(tables[c]);
      continue;
    }
    std::uint64_t before = step / 2;
    for (std::size_t value = 0; value < 256; ++value) {
      tables[c][value] = static_cast<std::uint8_t>(std::min<std::uint64_t>(before / step, 255));
      before += count[value];
    }
  }
  look_up_unless_identity(tables, picture, loops);
}

// Pillow's conversion to HSV (Convert.c, rgb2hsv_row), float32 where it is float32.
std::array<std::uint8_t, 3> hsv_of(const std::uint8_t* rgb) {
  const int red = rgb[0], green = rgb[1], blue = rgb[2];
  const int most = std::max({red, green, blue}), least = std::min({red, green, blue});
  if (most == least) return {0, 0, static_cast<std::uint8_t>(most)};
  const auto range = static_cast<float>(most - least);
  const float saturation = range / static_cast<float>(most);
  const float r = static_cast<float>(most - red) / range, g = static_cast<float>(most - green) / range,
              b = static_cast<float>(most - blue) / range;
  float hue;
  if (red == most)
    hue = b - g;
  else if (green == most)
    hue = static_cast<float>(2.0 + static_cast<double>(r) - static_cast<double>(b));
  else
    hue = static_cast<float>(4.0 + static_cast<double>(g) - static_cast<double>(r));
  hue = static_cast<float>(std::fmod(static_cast<double>(hue) / 6.0 + 1.0, 1.0));
  const auto byte = [](float share) {
    return static_cast<std::uint8_t>(
        std::clamp(static_cast<int>(static_cast<double>(share) * 255.0), 0, 255));
  };
  return {byte(hue), byte(saturation), static_cast<std::uint8_t>(most)};
}

// Back (Convert.c, hsv2rgb).
void rgb_of(const std::array<std::uint8_t, 3>& hsv, std::uint8_t* rgb) {
  const auto [hue, saturation, value] = hsv;
  if (saturation == 0) {
    std::fill_n(rgb, channels, value);
    return;
  }
  const double sixth = static_cast<double>(static_cast<float>(hue)) * 6.0 / 255.0;
  const int sector = static_cast<int>(std::floor(sixth));
  const auto rest = static_cast<float>(sixth - static_cast<double>(static_cast<float>(sector)));
  const auto share = static_cast<float>(static_cast<double>(static_cast<float>(saturation)) / 255.0);
  const auto byte = [&](double factor) {
    return static_cast<std::uint8_t>(std::clamp(
        static_cast<int>(std::round(static_cast<double>(static_cast<float>(value)) * factor)), 0, 255));
  };
  const std::uint8_t p = byte(1.0 - static_cast<double>(share)),
                     q = byte(1.0 - static_cast<double>(share * rest)),
                     t = byte(1.0 - static_cast<double>(share) * (1.0 - static_cast<double>(rest)));
  const std::uint8_t by_sector[6][3] = {{value, t, p}, {q, value, p}, {p, value, t},
                                        {p, q, value}, {t, p, value}, {value, p, q}};
  std::copy_n(by_sector[sector % 6], channels, rgb);
}

// torchvision's F.adjust_hue: the hue byte is turned, with overflow.
void shift_hue(float shift, const Picture& picture) {
  const auto steps = static_cast<std::uint8_t>(static_cast<int>(static_cast<double>(shift) * 255));
  std::uint8_t* pixel = picture.pixels;
  for (std::size_t i = 0; i < picture.pixel_count(); ++i, pixel += channels) {
    auto hsv = hsv_of(pixel);
    hsv[0] = static_cast<std::uint8_t>(hsv[0] + steps);
    rgb_of(hsv, pixel);
  }
}

}  // namespace

std::string_view name_of(Operation operation) {
  constexpr std::array<std::string_view, 15> names{
      "Identity", "ShearX",    "ShearY",    "TranslateX", "TranslateY",   "Rotate",   "Brightness", "Color",
      "Contrast", "Sharpness", "Posterize", "Solarize",   "AutoContrast", "Equalize", "Hue"};
  return names[static_cast<std::size_t>(operation)];
}

bool has_sign(Operation operation) {
  return operation >= Operation::shear_x && operation <= Operation::sharpness;
}

float magnitude_of(Operation operation, MagnitudeRange range, int bin, int height, int width) {
  const bool wide = range == MagnitudeRange::trivialaugment;
  // torch.linspace in float32: from either end, with one rounding, as PyTorch's builds for x86 do.
  const auto between = [bin](double from, double to) {
    const auto begin = static_cast<float>(from), end = static_cast<float>(to);
    const float step = (end - begin) / static_cast<float>(magnitude_bins - 1);
    return bin < magnitude_bins / 2 ? std::fma(step, static_cast<float>(bin), begin)
                                    : std::fma(-step, static_cast<float>(magnitude_bins - 1 - bin), end);
  };
  constexpr double translated_share = 150.0 / 331.0, widest_translation = 32.0;
  switch (operation) {
    case Operation::shear_x:
    case Operation::shear_y:
      return between(0.0, wide ? 0.99 : 0.3);
    case Operation::translate_x:
      return between(0.0, wide ? widest_translation : translated_share * width);
    case Operation::translate_y:
      return between(0.0, wide ? widest_translation : translated_share * height);
    case Operation::rotate:
      return between(0.0, wide ? 135.0 : 30.0);
    case Operation::brightness:
    case Operation::color:
    case Operation::contrast:
    case Operation::sharpness:
      return between(0.0, wide ? 0.99 : 0.9);
    case Operation::posterize: {
      const float bins_a_bit = static_cast<float>(magnitude_bins - 1) / (wide ? 6.0f : 4.0f);
      return 8.0f - std::nearbyint(static_cast<float>(bin) / bins_a_bit);
    }
    case Operation::solarize:
      return between(255.0, 0.0);
    case Operation::identity:
    case Operation::auto_contrast:
    case Operation::equalize:
    case Operation::hue:
      return 0.0f;
  }
  return 0.0f;
}

void apply(Operation operation, float magnitude, int height, int width, std::uint8_t* pixels,
           OperationScratch& scratch) {
  const Picture picture{height, width, pixels};
  const OperationLoops& loops = best_operation_loops();
  const auto factor = static_cast<float>(1.0 + static_cast<double>(magnitude));
  switch (operation) {
    case Operation::identity:
      return;
    case Operation::shear_x:
      return transform(sheared(magnitude, 0), picture, loops, scratch);
    case Operation::shear_y:
      return transform(sheared(0, magnitude), picture, loops, scratch);
    case Operation::translate_x:
      return transform({1, 0, -std::trunc(magnitude), 0, 1, 0}, picture, loops, scratch);
    case Operation::translate_y:
      return transform({1, 0, 0, 0, 1, -std::trunc(magnitude)}, picture, loops, scratch);
    case Operation::rotate:
      return transform(rotated(magnitude, height, width), picture, loops, scratch);
    case Operation::brightness:
      return adjust_brightness(factor, picture, loops);
    case Operation::color:
      return adjust_saturation(factor, picture, loops, scratch);
    case Operation::contrast:
      return adjust_contrast(factor, picture, loops);
    case Operation::sharpness:
      return adjust_sharpness(factor, picture, loops, scratch);
    case Operation::posterize:
      return loops.keep_bits(pixels, picture.bytes(),
                             static_cast<std::uint8_t>(0xFF00u >> static_cast<unsigned>(magnitude)));
    case Operation::solarize:
      return loops.invert_from(pixels, picture.bytes(), static_cast<int>(std::ceil(magnitude)));
    case Operation::auto_contrast:
      return auto_contrast(picture, loops);
    case Operation::equalize:
      return equalize(picture, loops);
    case Operation::hue:
      return shift_hue(magnitude, picture);
  }
}

}  // namespace deda::augment
