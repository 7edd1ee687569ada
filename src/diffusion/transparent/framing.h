// A CDP's way into the diffusion model's square picture and back. The paper does not say how CDPs are framed;
// here: the box of the object with a margin, padded to a square with transparency, resized to the model's
// resolution; what comes back is pasted at the original's scale. No Torch.
#pragma once

#include <array>
#include <cstdint>

#include "io/pictures/image.h"

namespace deda::diffusion {

inline constexpr int opaque = 128;  // alpha from here on counts as object

// Where the square lies in the source picture, in its pixels; may reach over the picture's edge.
struct Frame {
  double left = 0, top = 0, side = 0;
};

struct FramedCdp {
  io::Image rgba;  // [resolution, resolution, 4], straight alpha, colours padded under transparency
  Frame frame;
};

// `rgba`: a record's pixels; `crop`: where they lie in the source (a record may have been shrunk). DataError
// when nothing is opaque. `margin_share` of the longer side of the object's box is left free on every side.
FramedCdp frame_cdp(const io::Image& rgba, const std::array<std::int32_t, 4>& crop, std::int64_t resolution,
                    double margin_share);

struct AlphaCleanUp {
  double least_alpha = 0.02;            // fainter haze becomes fully transparent
  double least_component_share = 0.05;  // parts smaller than this share of the largest are dropped
};
// Faint haze and stray specks become transparent; in place.
void clean_alpha(io::Image& rgba, const AlphaCleanUp& rules);

struct UnframedCdp {
  io::Image rgba;                      // cropped to its alpha; never larger than the object in the source
  std::array<std::int32_t, 4> crop{};  // in source pixels, half open; may reach over the picture's edge
  std::array<std::int32_t, 4> box{};   // of alpha >= 1/2, in source pixels
  std::int64_t mask_area = 0;          // source pixels with alpha >= 1/2
};
// Back from the model's square. The picture is empty when nothing has alpha >= 1/2.
UnframedCdp unframe_cdp(const io::Image& square, const Frame& frame);

// How an edit changed the silhouette: share of the source's mask that is still opaque on average (mask eroded
// by a pixel in 64), and the ratio of the opaque areas.
struct SilhouetteChange {
  double mean_alpha_inside = 0, area_ratio = 0;
};
SilhouetteChange compare_silhouettes(const io::Image& source, const io::Image& edited);

}  // namespace deda::diffusion
