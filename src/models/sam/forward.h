// `deda forward sam`.
#pragma once

#include "models/registry.h"

namespace deda::models {

ForwardModel sam_forward_model();

}  // namespace deda::models
