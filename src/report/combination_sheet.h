// Samples as the network sees them: combinations composed from a store, for contact sheets.
#pragma once

#include <cstdint>
#include <vector>

#include "augment/config.h"
#include "io/pictures/image.h"
#include "io/store/record_store.h"

namespace deda::report {

// `count` combinations of the store's parts, made by the training composer with p_aug = 1; anchors spread
// over the classes. Empty where the store has no usable part.
std::vector<io::Image> compose_samples(const io::StoreReader& store, augment::AugmentConfig config,
                                       std::size_t count, std::uint64_t seed);

}  // namespace deda::report
