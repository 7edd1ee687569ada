// Pixels of a De-DA sample from its decisions (paper section 3.3): a random crop of the CIP, one or two CDPs
// on it, the label by visible area. Boxes, crop and areas are filled into the draws. Bytes depend on nothing
// but the arguments.
#pragma once

#include <cstdint>

#include "augment/combination.h"
#include "augment/config.h"
#include "augment/draws.h"
#include "augment/sprite.h"
#include "io/pictures/image.h"

namespace deda::augment {

// Working memory of one thread.
struct ComposerScratch {
  Sprite first, second;
};

// `draws` must have a combination. `canvas`: the CIP, resized to shorter side `resize_shorter`. `second` is
// null without a second CDP. `pixels` [crop, crop, 3].
void compose(const AugmentConfig& config, const Choices& choices, const io::Image& canvas,
             const PreparedCdp& first, const PreparedCdp* second, const RowKernels& kernels,
             ComposerScratch& scratch, Draws& draws, std::uint8_t* pixels);

// Weights of the two classes by visible area (CutMix's rule); {1, 0} without a second CDP or where nothing is
// visible.
std::pair<float, float> label_weights(const CombinationDraws& combination);

}  // namespace deda::augment
