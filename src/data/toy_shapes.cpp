#include "data/toy_shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deda::data {

namespace {

constexpr double pi = std::numbers::pi;

double clamp01(double x) {
  return std::clamp(x, 0.0, 1.0);
}
double smooth(double low, double high, double x) {
  const double t = clamp01((x - low) / (high - low));
  return t * t * (3 - 2 * t);
}
Colour mix(const Colour& a, const Colour& b, double t) {
  return {a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t};
}
Colour scaled(const Colour& a, double f) {
  return {a[0] * f, a[1] * f, a[2] * f};
}

Colour from_hsv(double hue, double saturation, double value) {
  const auto channel = [&](double n) {
    const double k = std::fmod(n + hue * 6.0, 6.0);
    return value - value * saturation * std::clamp(std::min(k, 4.0 - k), 0.0, 1.0);
  };
  return {channel(5), channel(3), channel(1)};
}

// A hashed lattice value in 0..1: texture that needs no state.
double lattice(std::uint32_t seed, int x, int y) {
  std::uint32_t h =
      seed ^ static_cast<std::uint32_t>(x) * 0x8DA6B343u ^ static_cast<std::uint32_t>(y) * 0xD8163841u;
  h ^= h >> 15;
  h *= 0x2C1B3C6Du;
  h ^= h >> 12;
  h *= 0x297A2D39u;
  h ^= h >> 15;
  return static_cast<double>(h >> 8) * 0x1.0p-24;
}

double value_noise(std::uint32_t seed, double x, double y) {
  const double fx = std::floor(x), fy = std::floor(y);
  const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
  const double tx = smooth(0, 1, x - fx), ty = smooth(0, 1, y - fy);
  const double top = lattice(seed, ix, iy) + (lattice(seed, ix + 1, iy) - lattice(seed, ix, iy)) * tx;
  const double low =
      lattice(seed, ix, iy + 1) + (lattice(seed, ix + 1, iy + 1) - lattice(seed, ix, iy + 1)) * tx;
  return top + (low - top) * ty;
}

double fractal_noise(std::uint32_t seed, double x, double y, int octaves) {
  double sum = 0, weight = 0.5;
  for (int i = 0; i < octaves; ++i, x *= 2.03, y *= 2.03, weight *= 0.5)
    sum += weight * value_noise(seed + static_cast<std::uint32_t>(i) * 101u, x, y);
  return sum;
}

// Distances to the nearest and second nearest point of a jittered grid: pebbles.
std::pair<double, double> cells(std::uint32_t seed, double x, double y, double& id) {
  double nearest = 9, second = 9;
  const int ix = static_cast<int>(std::floor(x)), iy = static_cast<int>(std::floor(y));
  for (int dy = -1; dy <= 1; ++dy) {
    for (int dx = -1; dx <= 1; ++dx) {
      const double px = ix + dx + 0.15 + 0.7 * lattice(seed, ix + dx, iy + dy),
                   py = iy + dy + 0.15 + 0.7 * lattice(seed + 7, ix + dx, iy + dy);
      const double distance = std::hypot(x - px, y - py);
      if (distance < nearest) {
        second = nearest;
        nearest = distance;
        id = lattice(seed + 13, ix + dx, iy + dy);
      } else
        second = std::min(second, distance);
    }
  }
  return {nearest, second};
}

double segment_distance(double x, double y, double ax, double ay, double bx, double by) {
  const double dx = bx - ax, dy = by - ay, t = clamp01(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy));
  return std::hypot(x - ax - t * dx, y - ay - t * dy);
}

}  // namespace

Ground::Ground(int kind, RandomStream& draws) : kind_{kind}, seed_{draws.bits()} {
  const double angle = draws.uniform(-0.35, 0.35);
  angle_cos_ = std::cos(angle);
  angle_sin_ = std::sin(angle);
  scale_ = draws.uniform(0.85, 1.25);
  offset_x_ = draws.uniform(0, 50);
  offset_y_ = draws.uniform(0, 50);
  brightness_ = draws.uniform(0.85, 1.12);
  for (double& channel : tint_) channel = draws.uniform(0.94, 1.06);
}

Colour Ground::at(double x, double y) const {
  const double u = scale_ * (x * angle_cos_ - y * angle_sin_) + offset_x_,
               v = scale_ * (x * angle_sin_ + y * angle_cos_) + offset_y_;
  Colour colour{};
  switch (kind_) {
    case 0: {  // leaf: green, veins that branch off a midrib
      const double rib = u - offset_x_ - 0.5 * scale_, side = std::abs(rib);
      const double vein = std::abs(std::fmod(v * 5.0 - side * 3.2 + 100.0, 1.0) - 0.5);
      const double line = std::max(1 - smooth(0.0, 0.035, side), 0.75 * smooth(0.43, 0.5, vein));
      colour = mix({0.20, 0.47, 0.16}, {0.36, 0.62, 0.22}, fractal_noise(seed_, u * 9, v * 9, 3));
      colour = mix(colour, {0.66, 0.80, 0.42}, 0.8 * line);
      break;
    }
    case 1: {  // sand: ripples and grains
      const double ripple =
          0.5 + 0.5 * std::sin(2 * pi * (v * 5.5 + 0.9 * fractal_noise(seed_, u * 3, v * 3, 3)));
      colour = mix({0.78, 0.64, 0.42}, {0.94, 0.84, 0.62}, ripple);
      colour = scaled(colour,
                      0.93 + 0.14 * lattice(seed_ + 5, static_cast<int>(u * 130), static_cast<int>(v * 130)));
      break;
    }
    case 2: {  // bark: brown, long furrows
      const double furrow =
          fractal_noise(seed_, u * 16 + 1.5 * fractal_noise(seed_ + 3, u * 2, v * 2, 2), v * 2.2, 4);
      colour = mix({0.20, 0.12, 0.07}, {0.56, 0.38, 0.24}, smooth(0.25, 0.7, furrow));
      break;
    }
    case 3: {  // pebbles: grey stones with dark joints
      double id = 0;
      const auto [nearest, second] = cells(seed_, u * 7, v * 7, id);
      const double joint = smooth(0.02, 0.16, second - nearest);
      colour = mix({0.44, 0.45, 0.48}, {0.80, 0.79, 0.77}, id);
      colour = scaled(colour, (0.35 + 0.65 * joint) * (1.08 - 0.35 * nearest));
      break;
    }
    case 4: {  // water: blue, bright caustics
      const double warp = fractal_noise(seed_, u * 4, v * 4, 3);
      const double wave =
          std::abs(std::sin(pi * (u * 3.2 + 2.4 * warp)) * std::cos(pi * (v * 3.6 - 2.0 * warp)));
      colour = mix({0.07, 0.28, 0.52}, {0.22, 0.56, 0.76}, warp);
      colour = mix(colour, {0.80, 0.95, 0.98}, 0.75 * (1 - smooth(0.0, 0.16, wave)));
      break;
    }
    default: {  // petals: pink, soft folds around a centre
      const double px = x - 0.2 - 0.5 * lattice(seed_, 1, 1), py = y + 0.25;
      const double turn = std::atan2(py, px), far = std::hypot(px, py);
      const double fold =
          0.5 + 0.5 * std::cos(turn * 15 + 2.5 * fractal_noise(seed_, far * 4, turn * 2 + 20, 2));
      colour = mix({0.72, 0.26, 0.48}, {0.97, 0.68, 0.80}, 0.25 + 0.75 * fold * smooth(0.0, 0.5, far));
      colour = mix(colour, {1.0, 0.88, 0.92}, 0.3 * fractal_noise(seed_ + 9, u * 12, v * 12, 2));
      break;
    }
  }
  for (int c = 0; c < 3; ++c)
    colour[static_cast<std::size_t>(c)] =
        clamp01(colour[static_cast<std::size_t>(c)] * brightness_ * tint_[static_cast<std::size_t>(c)]);
  return colour;
}

Beetle::Beetle(int pattern, RandomStream& draws) : pattern_{pattern} {
  half_length_ = 0.5 * draws.uniform(0.50, 0.80);
  const double margin = half_length_ * 0.95;
  centre_x_ = draws.uniform(margin, 1 - margin);
  centre_y_ = draws.uniform(margin, 1 - margin);
  const double angle = draws.uniform(-0.9, 0.9) + (draws.chance(0.5) ? pi : 0.0);
  cos_ = std::cos(angle);
  sin_ = std::sin(angle);
  width_ratio_ = draws.uniform(0.56, 0.68);
  const double light = draws.uniform(0, 2 * pi);
  light_x_ = std::cos(light);
  light_y_ = std::sin(light);
  pattern_phase_ = draws.uniform(-0.08, 0.08);
  // Colours are drawn alike for every class: dark body with light marks, or the reverse.
  const double hue = draws.uniform();
  const bool dark_body = draws.chance(0.5);
  const Colour dark = from_hsv(hue, draws.uniform(0.45, 0.95), draws.uniform(0.16, 0.34));
  const Colour light_colour = from_hsv(std::fmod(hue + draws.uniform(0.0, 0.5), 1.0),
                                       draws.uniform(0.25, 0.75), draws.uniform(0.85, 1.0));
  body_ = dark_body ? dark : light_colour;
  mark_ = dark_body ? light_colour : dark;
  head_ = scaled(dark, 0.75);
}

double Beetle::pattern_value(double u, double v) const {
  // u: 0 at the seam, +-1 at the rim; v: -1 behind, +1 in front. Edges are soft over a twentieth of the body.
  constexpr double edge = 0.05;
  const double a = std::abs(u);
  const auto disc = [&](double cu, double cv, double radius) {
    return 1 - smooth(radius - edge, radius + edge, std::hypot((a - cu) * 0.62, v - cv));
  };
  switch (pattern_) {
    case 0: {  // striped: lines along the body
      const double wave = std::abs(std::fmod(a * 2.6 + 0.15 + pattern_phase_, 1.0) - 0.5);
      return smooth(0.25 - edge, 0.25 + edge, wave);
    }
    case 1:  // spotted: two rows of spots
      return std::max({disc(0.5, 0.52 + pattern_phase_, 0.17), disc(0.5, 0.0 + pattern_phase_, 0.19),
                       disc(0.5, -0.52 + pattern_phase_, 0.17)});
    case 2: {  // banded: bars across the body
      const double wave = std::abs(std::fmod(v * 1.55 + 10.0 + pattern_phase_, 1.0) - 0.5);
      return smooth(0.25 - edge, 0.25 + edge, wave);
    }
    case 3: {  // crossed: one large diagonal cross
      const double arm = std::abs(a - std::abs(v - pattern_phase_) * 1.0);
      return 1 - smooth(0.20 - edge, 0.20 + edge, arm);
    }
    case 4: {  // ringed: one large ring
      const double distance = std::hypot(u * 0.66, v - pattern_phase_);
      return smooth(0.26 - edge, 0.26 + edge, distance) * (1 - smooth(0.47 - edge, 0.47 + edge, distance));
    }
    default: {  // rimmed: a border all around, plain inside
      const double rim = std::hypot(a, v);
      return smooth(0.70 - edge, 0.70 + edge, rim);
    }
  }
}

Beetle::Sample Beetle::at(double x, double y) const {
  Sample sample;
  // Local coordinates in half body lengths: `along` points to the head.
  const double dx = (x - centre_x_) / half_length_, dy = (y - centre_y_) / half_length_;
  const double across = dx * cos_ + dy * sin_, along = dx * sin_ - dy * cos_;
  const double side = std::abs(across);

  constexpr double wing_centre = -0.20, wing_half = 0.72, collar_centre = 0.52, head_centre = 0.78;
  const double wing_width = wing_half * width_ratio_ * 1.18;
  const double wing = std::hypot(across / wing_width, (along - wing_centre) / wing_half);
  const double collar = std::hypot(across / (wing_width * 0.80), (along - collar_centre) / 0.24);
  const double head = std::hypot(across / (wing_width * 0.46), (along - head_centre) / 0.19);
  double limbs = 9;
  limbs = std::min(limbs, segment_distance(side, along, wing_width * 0.6, 0.42, wing_width + 0.20, 0.60));
  limbs = std::min(limbs, segment_distance(side, along, wing_width + 0.20, 0.60, wing_width + 0.24, 0.84));
  limbs = std::min(limbs, segment_distance(side, along, wing_width * 0.8, 0.02, wing_width + 0.30, 0.00));
  limbs = std::min(limbs, segment_distance(side, along, wing_width + 0.30, 0.00, wing_width + 0.36, -0.20));
  limbs = std::min(limbs, segment_distance(side, along, wing_width * 0.7, -0.45, wing_width + 0.22, -0.66));
  limbs = std::min(limbs, segment_distance(side, along, wing_width + 0.22, -0.66, wing_width + 0.20, -0.92));
  limbs = std::min(limbs, segment_distance(side, along, 0.10, 0.90, 0.34, 1.12) + 0.012);
  constexpr double limb_width = 0.042;

  // A soft shadow, a little away from the light.
  const double shadow_x = dx + 0.07 * light_x_, shadow_y = dy + 0.07 * light_y_;
  const double shadow_across = shadow_x * cos_ + shadow_y * sin_,
               shadow_along = shadow_x * sin_ - shadow_y * cos_;
  sample.shadow = 0.5 * (1 - smooth(0.85, 1.22,
                                    std::hypot(shadow_across / wing_width,
                                               (shadow_along - wing_centre * 0.4) / (wing_half * 1.25))));

  const bool in_wing = wing < 1, in_collar = collar < 1, in_head = head < 1;
  if (!in_wing && !in_collar && !in_head && limbs > limb_width) return sample;
  sample.coverage = 1;
  if (!in_wing && !in_collar && !in_head) {
    sample.colour = scaled(head_, 0.8);
    return sample;
  }
  // Dome-shaped lighting: brighter towards the light, darker at the rim, one highlight.
  const double radius = in_wing ? wing : in_collar ? collar : head;
  const double height = std::sqrt(std::max(0.0, 1 - radius * radius));
  const double facing = -(dx * light_x_ + dy * light_y_);
  const double shade = 0.62 + 0.34 * height + 0.20 * facing;
  if (in_wing) {
    const double u = across / wing_width, v = (along - wing_centre) / wing_half;
    sample.colour = mix(body_, mark_, pattern_value(u, v));
    sample.colour =
        mix(sample.colour, scaled(head_, 0.6), 0.85 * (1 - smooth(0.010, 0.032, side)));  // the seam
  } else {
    sample.colour = in_collar ? mix(head_, body_, 0.35) : head_;
  }
  sample.colour = scaled(sample.colour, shade);
  const double shine = std::hypot(dx + 0.26 * light_x_, dy + 0.26 * light_y_);
  sample.colour = mix(sample.colour, {1, 1, 1}, 0.45 * (1 - smooth(0.02, 0.16, shine)));
  return sample;
}

}  // namespace deda::data
