// Fractal pictures for DiffuseMix's blend, drawn as iterated function systems (those of its authors are not
// this project's to give; a folder of one's own: fractal_folder.h). No Torch.
#pragma once

#include <cstdint>

#include "io/pictures/image.h"

namespace deda::diffusion {

// Sides that a fractal can be drawn at.
inline constexpr int least_fractal_side = 16, most_fractal_side = 1024;
// DiffuseMix works on squares of this side.
inline constexpr int usual_fractal_side = 256;

// A fractal [side, side, 3]: the attractor of two to eight contracting affine maps, alone or in two to six
// turned copies, drawn by the chaos game. A map has a colour and a point the mean of those it was led by; the
// logarithm of how often a pixel was met is its share over a dim ground. A pure function of its arguments,
// the same bytes on any machine and thread: neither libm nor fused multiply-add has a say in it. Another side
// is the same fractal, finer or coarser. Attractors that are a dot, a line, or leave most of the square empty
// or nothing of it are drawn again. ConfigError for a side outside of the limits.
io::Image draw_fractal(std::uint64_t seed, std::uint64_t number, int side = usual_fractal_side);

}  // namespace deda::diffusion
