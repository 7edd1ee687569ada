// The stage `deda generate`: K synthetic CDPs for every real one, straight into the record store. Item = real
// CDP, version 1..K = its copies. Units of batch_cdps CDPs have fixed members inside of a segment and are
// drawn by ranks and, on CPUs, by their threads: the bytes depend on neither.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/provenance.h"
#include "data/dataset.h"
#include "diffusion/generation/generator.h"
#include "io/store/outcome_limits.h"

namespace deda::diffusion {

// What is wrong with a configuration, as far as can be said without loading a network: strength and steps,
// resolution, prompt. `resolution`: pixels a side. DataError of unreadable model files counts among them.
std::vector<Problem> problems_of_generation(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                            const GenerateConfig& generate, std::int64_t resolution);

// Prompts (and the negative one) that the text encoders would cut, because they have more tokens than fit:
// with the identifier's `vectors` rows, or with each class's name, whichever stands for {token}. Reads the
// tokenizers only.
std::vector<Problem> problems_of_prompts(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                         const GenerateConfig& generate, std::int64_t vectors,
                                         const std::vector<std::string>& class_names);

struct GenerateRequest {
  const data::Dataset& dataset;
  const CdpSource& cdps;
  const GenerateConfig& config;
  double strength = 0.4;
  Provenance made_of;                            // with the store's key (src/pipeline)
  std::vector<std::string> classes_without_cdp;  // kept in the manifest's configuration
  std::filesystem::path folder;                  // of the store
  int workers = 1;                               // threads of this rank, each with a unit of its own
  // Called on every rank when there is work: loads the networks.
  std::function<std::shared_ptr<const Generator>()> load;
  std::optional<std::filesystem::path> trace;
  std::int64_t trace_items = 0;  // CDPs to trace, from the first
};

// Collective. True when the store was complete already. Throws Stopped after a signal or deadline (units in
// flight are finished first, a segment that is not complete is made again), DataError when there is no CDP.
// What came out is judged by outcome_limits().
bool generate(const comm::Communicator& ranks, const GenerateRequest& request);

// What io::check_outcomes() holds the finished store against, every time the stage is called.
io::OutcomeLimits outcome_limits(const GenerateConfig& config);

}  // namespace deda::diffusion
