// `deda forward` for the networks of the generative half.
#pragma once

#include <vector>

#include "models/registry.h"

namespace deda::models {

std::vector<ForwardModel> diffusion_forward_models();

}  // namespace deda::models
