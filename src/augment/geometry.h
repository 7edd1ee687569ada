// From a decoded picture to the network's square: resize, zero padding, crop. One rule for natural pictures,
// the background of a combination and test pictures, so that none of them can differ in it. torchvision's
// transforms on PIL pictures, byte for byte: Resize, RandomCrop(padding), CenterCrop.
#pragma once

#include <cstdint>

#include "augment/config.h"
#include "io/pictures/image.h"

namespace deda::augment {

struct Geometry {
  ResizeRule resize = ResizeRule::shorter;
  int resized_side = 0;  // of the shorter side, or of both
  int pad = 0;           // black pixels on each side, in training
  int crop = 0;          // side of the result, at most resized_side
};

Geometry geometry_of(const AugmentConfig& config);

// Resize(resized_side), or Resize((resized_side, resized_side)) where the aspect is ignored.
io::Image resized(const Geometry& geometry, const io::Image& picture);
// What training crops from: resized, with the black border. The border is black before normalisation, as the
// originals pad PIL pictures.
io::Image canvas_for_training(const Geometry& geometry, const io::Image& picture);
// What a test sees: an RGB picture resized, without a border, cropped in the middle; [crop, crop, 3].
io::Image centre_square(const Geometry& geometry, const io::Image& picture);

// Copies the square at (x, y) of an RGB picture, which must lie inside, to `pixels` [side, side, 3].
void crop_into(const io::Image& image, int x, int y, int side, std::uint8_t* pixels);

// Offset of a centre crop as torchvision has it: (size - crop) / 2 rounded half to even.
int centre_offset(int size, int crop);

}  // namespace deda::augment
