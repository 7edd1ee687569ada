#include "diffusion/peers/hybrid_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace deda::diffusion {

namespace {

constexpr int colours = 3;
constexpr unsigned ramp_steps = ramp_pixels - 1;

std::string size_of(const io::Image& picture) {
  return fmt::format("{} x {} x {}", picture.height, picture.width, picture.channels);
}

void check_pair(const io::Image& first, const io::Image& second, const char* what) {
  if (first.channels == colours && second.channels == colours && first.height == second.height &&
      first.width == second.width && !first.empty())
    return;
  throw DataError(
      fmt::format("{} of {} and {} cannot be put together", what, size_of(first), size_of(second)), {},
      "Both have to be RGB and of one size.");
}

// The edit's share in nineteenths at each place along a side.
std::vector<unsigned> shares_along(int side) {
  std::vector<unsigned> shares(static_cast<std::size_t>(side), ramp_steps);
  const int first = side / 2 - ramp_pixels / 2;
  for (int i = 0; i < first + ramp_pixels; ++i)
    shares[static_cast<std::size_t>(i)] = static_cast<unsigned>(std::max(0, i - first));
  return shares;
}

std::uint8_t mixed(unsigned original, unsigned edited, unsigned share) {
  return static_cast<std::uint8_t>(((ramp_steps - share) * original + share * edited) / ramp_steps);
}

// Pillow's convert("L"): ITU-R 601 in 16-bit fixed point, rounded.
unsigned grey_of(const std::uint8_t* rgb) {
  constexpr unsigned red = 19595, green = 38470, blue = 7471, half = 1u << 15, bits = 16;
  return (rgb[0] * red + rgb[1] * green + rgb[2] * blue + half) >> bits;
}

}  // namespace

io::Image hybrid_picture(const io::Image& original, const io::Image& edited, Concatenation concatenation) {
  check_pair(original, edited, "halves");
  const bool is_horizontal = concatenation == Concatenation::horizontal;
  const int side = is_horizontal ? original.width : original.height;
  if (side < ramp_pixels)
    throw DataError(fmt::format("a picture of {} has no room for the ramp of {} pixels between two halves",
                                size_of(original), ramp_pixels));
  const auto shares = shares_along(side);
  io::Image hybrid(original.height, original.width, colours);
  const auto row_bytes = static_cast<std::size_t>(original.width) * colours;
  for (int y = 0; y < original.height; ++y) {
    const std::uint8_t *from = original.row(y), *edit = edited.row(y);
    std::uint8_t* to = hybrid.row(y);
    for (std::size_t x = 0; x < row_bytes; ++x)
      to[x] = mixed(from[x], edit[x], shares[is_horizontal ? x / colours : static_cast<std::size_t>(y)]);
  }
  return hybrid;
}

io::Image blend_fractal(const io::Image& hybrid, const io::Image& fractal, double share) {
  check_pair(hybrid, fractal, "a picture and a fractal");
  if (!(share >= 0 && share <= 1))
    throw ConfigError(fmt::format("a fractal's share of {} is not in 0..1", share));
  // Whole millionths, so that no rounding of 0.8 and 0.2 decides on which side of a whole number a sum falls.
  constexpr std::uint64_t whole = 1'000'000;
  const auto of_fractal = static_cast<std::uint64_t>(std::llround(share * static_cast<double>(whole)));
  io::Image blend(hybrid.height, hybrid.width, colours);
  for (std::size_t i = 0; i < blend.pixels.size(); ++i)
    blend.pixels[i] = static_cast<std::uint8_t>(
        ((whole - of_fractal) * hybrid.pixels[i] + of_fractal * fractal.pixels[i]) / whole);
  return blend;
}

std::optional<std::string> unusable_picture(const io::Image& picture, RejectedEnds ends) {
  if (picture.empty()) return "it has no pixels";
  if (picture.channels != colours)
    throw DataError(fmt::format("a picture of {} is not RGB", size_of(picture)));
  std::array<std::size_t, 256> histogram{};
  for (std::size_t i = 0; i < picture.pixels.size(); i += colours) ++histogram[grey_of(&picture.pixels[i])];
  const std::size_t pixels = picture.pixels.size() / colours;
  // The original asks besides that every other value has less than 10 %: with more than 90 % here, all have.
  const auto is_most = [&](std::size_t count) { return 10 * count > 9 * pixels; };
  const auto reason = [&](std::size_t count, const char* colour) {
    constexpr double percent = 100;
    return fmt::format("{:.1f} % of its pixels are {}",
                       percent * static_cast<double>(count) / static_cast<double>(pixels), colour);
  };
  if (is_most(histogram.back())) return reason(histogram.back(), "white");
  if (ends == RejectedEnds::white_and_black && is_most(histogram.front()))
    return reason(histogram.front(), "black");
  return std::nullopt;
}

}  // namespace deda::diffusion
