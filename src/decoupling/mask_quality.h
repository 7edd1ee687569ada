// How good a mask is, from the picture alone: whether the colours inside of it are others than those around
// it. Asked of every mask, whatever its source, so that routes can be compared.
#pragma once

#include "io/pictures/image.h"

namespace deda::decoupling {

// box_grabcut's masks below that are rejected. Of 293 Oxford-IIIT Pets (boxes around their trimaps) ten have
// less (mean IoU with the trimap 0.43), 32 have 0.5 to 0.6 (0.63), 37 have 0.6 to 0.7 (0.69), 111 more (0.85).
// It tells object from ground, not a part of the object from the whole: 7 % above 0.8 have an IoU below 0.4.
inline constexpr double least_grabcut_quality = 0.5;
// Any mask below that deserves a look: one in ten of those pets' true masks, whose median is 0.61.
inline constexpr double low_mask_quality = 0.4;

// 0 (the same colours inside and around) to 1 (none in common): what is not shared by the smoothed Lab
// histograms of the mask and of a ring around it whose width is 15 % of the square root of the mask's area;
// both on a copy of the picture shrunk to 160 pixels. 0 for an empty mask and for one with nothing around it.
// picture [H, W, 3], mask [H, W, 1], nonzero inside. Deterministic.
double mask_quality(const io::Image& picture, const io::Image& mask);

}  // namespace deda::decoupling
