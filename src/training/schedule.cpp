#include "training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deda::training {

Schedule::Schedule(const TrainConfig& config, std::int64_t pictures) : config_{config}, pictures_{pictures} {
  const bool drops = config.last_batch == LastBatch::drop;
  steps_per_epoch_ =
      drops ? pictures / config.batch_size : (pictures + config.batch_size - 1) / config.batch_size;
  left_out_ = drops ? pictures % config.batch_size : 0;
  cosine_steps_ = drops ? config.epochs * pictures / config.batch_size : config.epochs * steps_per_epoch_;
  if (config.warmup_share > 0)
    warmup_steps_ = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(config.warmup_share * static_cast<double>(cosine_steps_)));
  if (config.warmup_epochs > 0) warmup_steps_ = config.warmup_epochs * steps_per_epoch_;
}

std::int64_t Schedule::pictures_in_step(std::int64_t step) const {
  return std::min(config_.batch_size, pictures_ - step * config_.batch_size);
}

double Schedule::without_warmup(std::int64_t epoch, std::int64_t step) const {
  if (config_.schedule == ScheduleKind::step) {
    double rate = config_.learning_rate;
    for (const auto milestone : config_.milestones) {
      if (epoch >= milestone) rate *= config_.decay;
    }
    return rate;
  }
  double share = 0;  // of the half period that is over
  if (config_.cosine_length == CosineLength::all_steps) {
    share = static_cast<double>((epoch - 1) * steps_per_epoch_ + step) / static_cast<double>(cosine_steps_);
  } else {
    const double position =
        static_cast<double>(epoch) + static_cast<double>(step) / static_cast<double>(steps_per_epoch_);
    share = position / static_cast<double>(1 + config_.epochs);
  }
  return config_.minimum_learning_rate + 0.5 * (config_.learning_rate - config_.minimum_learning_rate) *
                                             (1.0 + std::cos(std::numbers::pi * share));
}

double Schedule::rate(std::int64_t epoch, std::int64_t step) const {
  const double rate = without_warmup(epoch, step);
  const auto before = (epoch - 1) * steps_per_epoch_ + step;
  if (before + 1 >= warmup_steps_) return rate;
  return rate * (static_cast<double>(before + 1) / static_cast<double>(warmup_steps_));
}

bool is_evaluated(const TrainConfig& config, std::int64_t epoch) {
  if (epoch == config.epochs) return true;
  const auto first = config.evaluate_first > 0 ? config.evaluate_first : config.evaluate_every;
  return epoch >= first && (epoch - first) % config.evaluate_every == 0;
}

}  // namespace deda::training
