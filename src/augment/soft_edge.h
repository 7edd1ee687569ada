// Softness of a pasted edge, as the standard deviation (sigma) of the Gaussian that would make it of a hard
// one. A CDP's edge is softened in source pixels when it is cut out; shrunk, it is hard again, which a
// network can learn to look for. Here it gets at least the softness that is asked for on the canvas.
#pragma once

#include <cstdint>
#include <vector>

#include "augment/pixel_rows.h"

namespace deda::augment {

// Sigma of the edges of a picture's alpha, in its pixels: of their slopes, steep ones counting more; infinite
// where there is no edge. `pixels` [height, width] premultiplied RGBA with a transparent border. A hard edge
// has that of its pixels, 0.3 to 0.4. Flat alpha and its noise do not count.
double edge_softness(const std::uint32_t* pixels, int height, int width);

// A blur that adds `variance` (in pixels squared, at most 25) to that of what it is applied to. Radius 0: too
// little to do anything.
SymmetricWeights blur_weights(double variance);

// Working memory.
struct SoftEdgeScratch {
  std::vector<std::uint32_t> blurred, nothing;
  std::vector<std::uint8_t> content, near_content, active, needed;
};

// A premultiplied RGBA picture with room around it for what a blur spreads: `radius` rows above and below, 2
// `radius` columns left and at least as many right, all transparent.
struct PictureWithRoom {
  std::uint32_t* pixels;  // first pixel of the room's first row
  int height;             // without the room
  int stride;             // pixels a row, with the room; a multiple of 4
};

// Blurs the alpha. Opaque pixels keep their colour and the others get that of the object around them,
// weighted by alpha: colours that are hidden in the CDP never show, however far the blur reaches. Only pixels
// near an edge are touched. Weights must have a radius above 0.
void soften_edges(const PictureWithRoom& picture, const SymmetricWeights& weights, const RowKernels& kernels,
                  SoftEdgeScratch& scratch);

}  // namespace deda::augment
