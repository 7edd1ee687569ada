// `box_sam` and `text_box_sam` on the real networks.
#pragma once

#include <memory>

#include "decoupling/networks/network_pool.h"

namespace deda::decoupling {

void register_box_sources(const std::shared_ptr<NetworkPool>& pool);

}  // namespace deda::decoupling
