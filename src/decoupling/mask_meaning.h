// What a mask file of unknown making calls the object (layout `folder`, whose masks come from any tool):
// which of its channels is the mask, and which of its numbers are object.
#pragma once

#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "io/pictures/mask_file.h"

namespace deda::decoupling {

struct MeantMask {
  io::Image object;                // [H, W, 1], 255 object
  io::Image undecided;             // [H, W, 1], 255 void; empty where the file has no such label
  std::vector<std::string> notes;  // whatever was decided beyond "nonzero is object"
};

// - Numbers of any depth: nonzero is object. Palettes count by their colours: black is ground, whatever its
//   index; where no colour in use is black, index 0 is ground.
// - An alpha channel is the mask where it alone varies, and where the colours are a picture (a cut-out).
// - Lossy files, and lossless ones whose numbers between ground and object lie along edges alone (softened,
//   or once stored with a loss), are cut at half of their largest number.
// - The largest number of the depth beside small labels (255 beside 1, 2, ...) is void, as in Pascal VOC.
// Throws DataError where alpha and colours tell different objects.
MeantMask meant_mask(const io::MaskFile& file);

}  // namespace deda::decoupling
