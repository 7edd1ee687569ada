// `deda forward clip`.
#pragma once

#include "models/registry.h"

namespace deda::models {

ForwardModel clip_forward_model();

}  // namespace deda::models
