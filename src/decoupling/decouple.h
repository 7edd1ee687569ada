// The stage `deda decouple`: every picture of the chosen split becomes a CDP and a CIP record, or has a
// recorded reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/provenance.h"
#include "data/dataset.h"
#include "decoupling/config.h"
#include "decoupling/ladder.h"
#include "io/store/outcome_limits.h"
#include "io/store/record_store.h"

namespace deda::decoupling {

// The items of the stage: positions in dataset.items, in store order.
std::vector<std::size_t> decouple_items(const data::Dataset& dataset, const DecoupleConfig& config);

struct DecoupleRequest {
  const data::Dataset& dataset;
  const DecoupleConfig& config;
  std::filesystem::path folder;  // of the store
  int threads = 1;               // working threads of this rank
  std::optional<std::filesystem::path> trace;
  std::int64_t trace_steps = 0;  // pictures to trace, from the first
  // Store of the same stage without exclusions (earlier_store.h); empty: there is none to look for.
  std::filesystem::path without_exclusions = {};
  Provenance made_of = {};  // with the store's key (src/pipeline)
};

// Collective. True when the store was complete already. Throws Stopped between segments after a signal or
// deadline. What came out is judged by outcome_limits().
bool decouple(const comm::Communicator& ranks, const DecoupleRequest& request);

// What io::check_outcomes() holds the finished store against, every time the stage is called.
io::OutcomeLimits outcome_limits(const DecoupleConfig& config);

}  // namespace deda::decoupling
