// What `deda train` and `deda evaluate` have in common: from a configuration to the dataset, the stores, the
// run's key and its folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "augment/sample_source.h"
#include "data/dataset.h"
#include "jobs/job.h"
#include "training/results.h"
#include "training/samples.h"

namespace deda::jobs {

struct TrainingRun {
  data::Dataset dataset;
  std::filesystem::path store;      // of parts; empty where the method uses none
  std::filesystem::path synthetic;  // of synthetic CDPs or of a peer's edits; empty where neither is used
  PipelineConfig config;            // in the fewest words (pipeline::effective)
  std::string key;
  std::filesystem::path folder;
  training::RunDescription description;
};

// Collective. Checks what can be checked before work: dataset, stores, weights file. DataError and
// ConfigError list it all. `device`: name of the GPU that it runs on, for its provenance; empty: a CPU.
TrainingRun plan_training_run(const JobContext& context, const std::string& device = {});

// Collective. Positions of a split's pictures that can be decoded; the others are warned about (up to 20,
// then a count).
std::vector<std::size_t> usable_pictures(const JobContext& context, const data::Dataset& dataset,
                                         data::Split split);

// The parts of the run's stores for these training pictures; an empty pool where the method uses none. Logs
// its summary.
augment::PartPool open_pool(const JobContext& context, const TrainingRun& run,
                            const std::vector<std::size_t>& training);
// The same of a generative peer's edits, without those that its filter rejects. DataError where none is left.
augment::EditPool open_edits(const JobContext& context, const TrainingRun& run,
                             const std::vector<std::size_t>& training);

}  // namespace deda::jobs
