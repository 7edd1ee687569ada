// `deda forward` for networks that were exported as a list of operations.
#pragma once

#include <vector>

#include "models/registry.h"

namespace deda::models {

std::vector<ForwardModel> exported_forward_models();

}  // namespace deda::models
