// The stage `deda invert`: one identifier per class from its CDPs by truncated-timestep textual inversion
// (paper section 3.2.1). Packs of classes are units of work that ranks and their threads draw; each is
// checkpointed and continued; what it gives does not depend on who worked on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/provenance.h"
#include "diffusion/cdp_source.h"
#include "diffusion/inversion/identifiers.h"
#include "diffusion/inversion/inversion_context.h"
#include "diffusion/model.h"

namespace deda::diffusion {

struct InversionRequest {
  const LatentSource& source;
  InversionSettings settings;
  std::filesystem::path folder;
  Provenance made_of;          // with the stage's key (src/pipeline)
  std::string model_identity;  // of the model that load_model gives
  int workers = 1;             // units at a time on this rank, each in a thread of its own on one core
  std::function<std::shared_ptr<const DiffusionModel>()> load_model;   // called once, if there is work
  std::function<void(std::int64_t unit, std::int64_t steps)> on_step;  // after every step; may be empty
};

// The finished stage's manifest, or nothing where there is work left (no manifest, another key, damaged
// files). Needs no model.
std::optional<IdentifierManifest> finished_identifiers(const std::filesystem::path& folder,
                                                       const std::string& key);

// Collective. True when all was there already. Every class has an outcome afterwards: done, no_cdp, failed.
// Throws Stopped after a signal or deadline, with every unit in progress saved; ModelError for bad numbers
// when invert.nan = "fail".
bool learn_identifiers(const comm::Communicator& ranks, const InversionRequest& request);

// Writes the first `steps` steps of the first unit as step-NNNNNN.safetensors, from the
// beginning and without touching the stage's folder. `context` as the stage has it.
void trace_inversion(const InversionContext& context, const std::filesystem::path& folder,
                     std::int64_t steps);

}  // namespace deda::diffusion
