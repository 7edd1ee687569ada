// What `deda invert` and `deda generate` have in common: from a configuration to the real CDPs' store, the
// switches that belong to the model's weights, and where the results live.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "device/place.h"
#include "diffusion/transparent/calibration.h"
#include "jobs/job.h"
#include "jobs/planning.h"

namespace deda::jobs {

// No network is loaded, so that a finished stage says so at once.
struct DiffusionRun {
  pipeline::Plan plan;
  std::filesystem::path store;  // of real CDPs; empty where a peer learns from whole pictures
  bool is_sdxl = false;
  std::string model_identity;  // of the files that the stage takes
  diffusion::TransparencyChoice transparency;
  std::int64_t resolution = 0;        // pixels a side of the model's square
  std::filesystem::path identifiers;  // folder of `deda invert`; empty where names of classes are used
  std::filesystem::path synthetic;    // store of `deda generate`
};

// Collective. DataError and ConfigError list all that is missing. The store need not exist yet.
// `target`: invert or generate.
DiffusionRun plan_diffusion_run(const JobContext& context, pipeline::Stage target);

// Where this rank computes: a GPU of its own, or the CPU with `workers` units at a time, each on one core.
struct DiffusionMachine {
  device::Place place;
  int workers = 1;
};
// Collective. ConfigError when models.device = "cuda" cannot be had. Sets torch's threads to one: results
// must not depend on the number of cores.
DiffusionMachine plan_diffusion_machine(const JobContext& context);

}  // namespace deda::jobs
