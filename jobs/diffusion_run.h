// What `deda invert`, `deda generate` and training with synthetic CDPs have in common: from a configuration
// to the real CDPs' store, the identity of identifiers and of synthetic CDPs, and the folders where they
// live.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "device/place.h"
#include "diffusion/calibration.h"
#include "jobs/job.h"

namespace deda::jobs {

// Paths and identities; nothing is loaded, so that a finished stage says so at once.
struct DiffusionRun {
  std::filesystem::path store;  // of real CDPs
  bool is_sdxl = false;
  std::string model_identity;  // of the merged model, as it generates
  diffusion::TransparencyChoice transparency;
  std::int64_t resolution = 0;  // pixels a side of the model's square
  std::string invert_identity, generate_identity;
  std::filesystem::path identifiers;  // folder of `deda invert`
  std::filesystem::path synthetic;    // store of `deda generate`
};

// On one rank; DataError and ConfigError list all that is missing. The store need not exist yet.
DiffusionRun plan_diffusion_run(const PipelineConfig& config, const data::Dataset& dataset);

// Where this rank computes: a GPU of its own, or the CPU with `workers` units at a time, each on one core.
struct DiffusionMachine {
  device::Place place;
  int workers = 1;
};
// Collective. ConfigError when models.device = "cuda" cannot be had. Sets torch's threads to one: results
// must not depend on the number of cores.
DiffusionMachine plan_diffusion_machine(const JobContext& context);

}  // namespace deda::jobs
