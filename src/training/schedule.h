// How many steps an epoch has, and the learning rate of each.
#pragma once

#include <cstdint>

#include "training/config.h"

namespace deda::training {

class Schedule {
 public:
  // `pictures` of an epoch, over all ranks; at least a batch of them where the last batch is dropped
  // (check_run).
  Schedule(const TrainConfig& config, std::int64_t pictures);

  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  // Pictures of all ranks in step `step` of an epoch.
  std::int64_t pictures_in_step(std::int64_t step) const;
  // Pictures that each epoch leaves out, other ones each time: those of a dropped last batch.
  std::int64_t left_out() const { return left_out_; }

  // epoch counts from 1, step from 0 within the epoch; t counts all steps from 0.
  // step:   learning_rate * decay^(number of milestones <= epoch), so 0.01, 0.001 from epoch 150, 0.0001 from
  // epoch 225. cosine: from learning_rate to minimum_learning_rate, moved every step; over (1 + epochs)
  // epochs, of which the first one is left out (GuidedMixup's option), or over T = floor(epochs * pictures /
  // batch_size) steps from 0 on (Diff-Mix; with a kept last batch over all steps). Warm-up multiplies either
  // by min(1, (t + 1) / w), w = max(1, floor(warmup_share * T)) or the steps of warmup_epochs, as
  // pytorch_warmup's linear one does.
  double rate(std::int64_t epoch, std::int64_t step) const;

  // Of warm-up; 0: none.
  std::int64_t warmup_steps() const { return warmup_steps_; }

 private:
  double without_warmup(std::int64_t epoch, std::int64_t step) const;

  TrainConfig config_;
  std::int64_t pictures_, steps_per_epoch_, left_out_, cosine_steps_, warmup_steps_ = 0;
};

// Whether an epoch (from 1) is evaluated; the last one always is.
bool is_evaluated(const TrainConfig& config, std::int64_t epoch);

}  // namespace deda::training
