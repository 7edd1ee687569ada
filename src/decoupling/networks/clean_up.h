// What may be done to a network's mask before it is used; everything is off by default, as in the original.
#pragma once

#include "decoupling/config.h"
#include "io/pictures/image.h"

namespace deda::decoupling {

// Drops 8-connected components smaller than config.min_component_share of the picture, and fills holes, where
// asked.
io::Image cleaned_up(io::Image mask, const DecoupleConfig& config);

}  // namespace deda::decoupling
