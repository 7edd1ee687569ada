// Pixels of a De-DA sample from its decisions (paper section 3.3): a random crop of the CIP, one or two CDPs
// on it, the label by visible area. Boxes, crop and areas are filled into the draws. Bytes depend on nothing
// but the arguments.
#pragma once

#include <cstdint>

#include "augment/combination.h"
#include "augment/config.h"
#include "augment/draws.h"
#include "augment/sprite.h"
#include "data/dataset.h"
#include "io/pictures/image.h"

namespace deda::augment {

// Working memory of one thread.
struct ComposerScratch {
  Sprite first, second;
  OperationScratch operations;
};

// Where an object was in its own picture.
struct OwnPlace {
  double x = 0, y = 0;  // middle of its box, as shares of the picture's width and height
  double size = 0;      // longer side of the box / shorter side of the picture
};
// `view`, `cdp`: the same CDP. Where pictures are resized to squares, their sides count alike.
OwnPlace own_place(const PartView& view, const PreparedCdp& cdp, ResizeRule resize);

// `draws` must have a combination. `canvas`: the CIP as canvas_for_training (geometry.h) makes it. `second`
// is null without a second CDP. `place`: with augment.placement = in_place where the first CDP goes (its box
// gets that middle and that longer side, and is moved inside where it would reach over the canvas; the crop
// is moved so that it holds the box), else null. `pixels` [crop, crop, 3].
void compose(const AugmentConfig& config, const Choices& choices, const io::Image& canvas,
             const PreparedCdp& first, const PreparedCdp* second, const RowKernels& kernels,
             ComposerScratch& scratch, Draws& draws, std::uint8_t* pixels, const OwnPlace* place = nullptr);

// The label vector [classes] of a combination. One label per picture: label_weights(). Several: 1 for every
// class of which a pasted pixel is visible (MixedLabel::area: its weight), with paste_on the labels of
// `donor`'s picture too; -1 for classes that `donor`'s picture may still show (its difficult ones); 0 for the
// others.
void fill_combined_label(const AugmentConfig& config, const data::Dataset& dataset, const data::Item& donor,
                         const CombinationDraws& combination, float* label);

// Weights of the two classes by visible area (CutMix's rule); {1, 0} without a second CDP or where nothing is
// visible.
std::pair<float, float> label_weights(const CombinationDraws& combination);

}  // namespace deda::augment
