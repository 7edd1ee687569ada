// One stage of `deda pretrain`: the loop over steps, its record, and where it continues. Nothing of what is
// trained: that is the loss it is given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/step_checkpoints.h"

namespace deda::diffusion {

struct StageRecord {
  std::string name;
  std::int64_t parameters = 0, steps = 0;
  double seconds = 0;                // of all calls that worked on it
  std::vector<double> losses;        // mean over each report_every steps
  std::vector<double> first_losses;  // of the first steps, one by one: what --verify repeats
  double held_out = 0;               // loss on CDPs that were not trained on
};
std::string to_json(const StageRecord& record);
// DataError where the text is no such record.
StageRecord stage_record_of(const std::string& json, const std::string& where);

// Steps between two entries of StageRecord::losses.
inline constexpr std::int64_t report_every = 50;
inline constexpr std::int64_t first_steps = 10;
// Threads that share every batch, whatever the machine: sums do not depend on it.
inline constexpr std::size_t gradient_shares = 2;

struct TrainingStage {
  std::string name;
  std::vector<at::Tensor> parameters;
  std::int64_t steps = 0, batch = 0;
  double rate = 0, weight_decay = 1e-4;
  // Loss of samples [first, last) of the batch, divided by the whole batch's size; a pure function of the
  // step.
  std::function<at::Tensor(std::int64_t step, std::int64_t first, std::int64_t last)> loss{};
};

// Runs steps until `steps_to_run` of them are done and leaves the running mean of the weights in the
// parameters. With checkpoints: continues from the newest, saves every 100 steps and before it throws
// Stopped; the same bytes as without an interruption. ModelError when the loss is no number.
void run_stage(const TrainingStage& stage, StageRecord& record, std::int64_t steps_to_run,
               const StepCheckpoints* checkpoints);

}  // namespace deda::diffusion
