// From a picture and its mask to the two parts: CDP (the object, RGBA, cropped) and CIP (the picture, hole
// filled).
#pragma once

#include <array>
#include <cstdint>

#include "decoupling/config.h"
#include "io/pictures/image.h"

namespace deda::decoupling {

struct Cdp {
  io::Image rgba;                      // straight alpha; colours under transparent pixels are filled smoothly
  std::array<std::int32_t, 4> crop{};  // where it lies in the source, xyxy half open (before any shrinking)
  std::array<std::int32_t, 4> box{};   // of the binary mask
  std::int64_t mask_area = 0;          // pixels of the binary mask
};

struct Cip {
  io::Image rgb;
  io::Image hole;         // [H, W, 1] 255 where it was filled, at source resolution
  double hole_share = 0;  // of the picture
};

// `mask` [H, W, 1], 255 object. The mask must have a pixel. Alpha: mask (eroded if asked), softened by
// feather_sigma. Crop: box of alpha > 0 with the configured margin, floor on the low side, ceil on the high
// side, clipped.
Cdp cut_cdp(const io::Image& picture, const io::Image& mask, const DecoupleConfig& config);

// `hole_mask`: object and undecided pixels; grown by max(hole_dilation_pixels, round half even of
// hole_dilation_share of the longer side) with an ellipse. With nothing known the CIP is empty (no pixels).
Cip fill_cip(const io::Image& picture, const io::Image& hole_mask, const DecoupleConfig& config);

// Radius of that growth in pixels.
int hole_dilation(int height, int width, const DecoupleConfig& config);

}  // namespace deda::decoupling
