// GroundingDINO and SAM behind the doors of box_networks.h.
#pragma once

#include <filesystem>
#include <memory>

#include "decoupling/config.h"
#include "decoupling/networks/box_networks.h"
#include "decoupling/networks/network_pool.h"

namespace deda::decoupling {

// DataError lists everything missing, unused and misshapen in the folder.
std::shared_ptr<const TextDetector> load_grounding_dino(const std::filesystem::path& folder,
                                                        const NetworkPlace& place, DetectorRules rules);
std::shared_ptr<const BoxSegmenter> load_sam(const std::filesystem::path& folder_or_file,
                                             const NetworkPlace& place);

}  // namespace deda::decoupling
