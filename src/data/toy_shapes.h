// The toy dataset's drawing: grounds and beetles as functions of a point. Internal to src/data.
#pragma once

#include <array>
#include <cstdint>

#include "core/random.h"

namespace deda::data {

using Colour = std::array<double, 3>;  // linear 0..1, RGB

// One kind of ground with its random tint, scale and orientation. Coordinates are picture widths, 0..1.
class Ground {
 public:
  Ground(int kind, RandomStream& draws);
  Colour at(double x, double y) const;

 private:
  int kind_;
  std::uint32_t seed_;
  double scale_, angle_cos_, angle_sin_, offset_x_, offset_y_, brightness_;
  Colour tint_;
};

// One beetle: class pattern, random colours, size, place and direction.
class Beetle {
 public:
  Beetle(int pattern, RandomStream& draws);
  struct Sample {
    double coverage = 0;  // 1 inside, 0 outside
    double shadow = 0;    // darkness that it throws on the ground, 0..1
    Colour colour{};
  };
  Sample at(double x, double y) const;

 private:
  double pattern_value(double u, double v) const;  // u across, v along the wing cases, -1..1; 1 where marked
  int pattern_;
  double centre_x_, centre_y_, half_length_, cos_, sin_, width_ratio_, light_x_, light_y_, pattern_phase_;
  Colour body_, mark_, head_;
};

}  // namespace deda::data
