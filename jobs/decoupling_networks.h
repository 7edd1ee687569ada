// The mask sources that need networks, as `deda decouple` and `deda doctor` ask for them: without LibTorch to
// compile. Only a build with LibTorch has them.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "decoupling/config.h"

namespace deda::jobs {

// Collective. Makes the network sources known and says on rank 0 where they run. Does nothing where no
// configured source needs a network. Returns the GPU's name; empty: none computes.
std::string prepare_network_sources(const comm::Communicator& ranks,
                                    const decoupling::DecoupleConfig& config);

}  // namespace deda::jobs
