// `deda forward grounding_dino`.
#pragma once

#include "models/registry.h"

namespace deda::models {

ForwardModel grounding_dino_forward_model();

}  // namespace deda::models
