// Trains one classifier from start, or from where an interrupted run left off, to the end. No Torch in this
// header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "training/compute_plan.h"
#include "training/config.h"
#include "training/results.h"
#include "training/sample_sets.h"
#include "training/state.h"

namespace deda::training {

struct TrainRequest {
  TrainConfig config;
  ComputePlan compute;
  RunDescription run;  // ranks, groups and left_out are filled in by train()
  std::uint64_t seed = 1;
  std::filesystem::path folder;                             // the run's own
  std::optional<std::filesystem::path> trace;               // folder for trace files
  std::int64_t trace_steps = 0;
};

// Checkpoints of a run that has finished, which train() removes unless train.keep_finished_checkpoints: for
// one that was killed before it could.
void remove_checkpoints(const std::filesystem::path& folder);

// The state of a run that has finished in this folder with this key (RunDescription::made_of), else nothing.
// Cheap: reads state.json.
std::optional<TrainingState> finished_run(const std::filesystem::path& folder, const std::string& key);

// Problems that would otherwise show after hours: no step in an epoch, more ranks than samples in a batch,
// shares too small for batch norm. ConfigError lists them all.
void check_run(const TrainConfig& config, const TrainingSamples& samples, int ranks);
// What works but may not be meant, a sentence each: milestones that are never reached, batch norm of few
// pictures, pictures that a dropped last batch leaves out. Of a run that check_run lets pass.
std::vector<std::string> doubts_about_run(const TrainConfig& config, const TrainingSamples& samples,
                                          int ranks);

// Collective. Returns when all epochs are done. Throws Stopped after a signal or deadline (checkpoint
// written, also in the middle of an epoch), ModelError naming epoch and step when the loss or a parameter is
// no longer finite (the last good checkpoint stays), DataError and IoError on all ranks when one of them has
// one. `held_out`: evaluated whenever `tests` are; it decides nothing.
TrainingState train(const comm::Communicator& ranks, const TrainRequest& request,
                    const TrainingSamples& samples, const TestSamples& tests,
                    const TestSamples& held_out = {});

}  // namespace deda::training
