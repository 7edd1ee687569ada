// Between 8-bit RGBA pictures and the tensors that LayerDiffuse's networks take and give.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "io/pictures/image.h"

namespace deda::diffusion {

struct TransparentPixels {
  at::Tensor argb;  // [B, 4, H, W] alpha, R, G, B in 0..1; colours padded under transparency (alpha pyramid)
  at::Tensor feed;  // [B, 3, H, W] (2 rgb - 1) * alpha: what the autoencoder sees, grey where transparent
};

// All pictures of one size, [H, W, 4], straight alpha.
TransparentPixels transparent_pixels(const std::vector<io::Image>& rgba);

// [B, 4, H, W] alpha, R, G, B in 0..1 -> RGBA pictures; values times 255 are cut off, not rounded, as the
// original does.
std::vector<io::Image> rgba_pictures(const at::Tensor& argb);

}  // namespace deda::diffusion
