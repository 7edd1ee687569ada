// Learning rate by epoch and step.
#pragma once

#include <cstdint>

#include "training/config.h"

namespace deda::training {

// epoch counts from 1, step from 0 within the epoch.
// step:   learning_rate * decay^(number of milestones <= epoch), so 0.01, 0.001 from epoch 150, 0.0001 from
// epoch 225. cosine: from learning_rate to minimum_learning_rate over (1 + epochs) epochs, moved every step
// (GuidedMixup's option).
double learning_rate(const TrainConfig& config, std::int64_t epoch, std::int64_t step,
                     std::int64_t steps_per_epoch);

}  // namespace deda::training
