// Samples as the network sees them: combinations composed from a store, for contact sheets.
#pragma once

#include <cstdint>
#include <vector>

#include "augment/config.h"
#include "io/pictures/image.h"
#include "io/store/record_store.h"

namespace deda::report {

// For each of `items` (of the store) `per_item` combinations of that item's own real CDP, made by the
// training composer with p_aug = 1 and p_syn = 0; nothing for an item without a usable CDP (mask outside of
// the configured limits). The second CDPs and the backgrounds come from the whole store.
std::vector<std::vector<io::Image>> compose_samples(const io::StoreReader& store,
                                                    augment::AugmentConfig config,
                                                    const std::vector<std::int64_t>& items,
                                                    std::size_t per_item, std::uint64_t seed);

}  // namespace deda::report
