#include "training/schedule.h"

#include <cmath>
#include <numbers>

namespace deda::training {

double learning_rate(const TrainConfig& config, std::int64_t epoch, std::int64_t step,
                     std::int64_t steps_per_epoch) {
  if (config.schedule == ScheduleKind::step) {
    double rate = config.learning_rate;
    for (const auto milestone : config.milestones) {
      if (epoch >= milestone) rate *= config.decay;
    }
    return rate;
  }
  const double position =
      static_cast<double>(epoch) + static_cast<double>(step) / static_cast<double>(steps_per_epoch);
  const double share = position / static_cast<double>(1 + config.epochs);
  return config.minimum_learning_rate + 0.5 * (config.learning_rate - config.minimum_learning_rate) *
                                            (1.0 + std::cos(std::numbers::pi * share));
}

}  // namespace deda::training
