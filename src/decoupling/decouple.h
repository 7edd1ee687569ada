// The stage `deda decouple`: every picture of the chosen split becomes a CDP and a CIP record, or has a
// recorded reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "data/dataset.h"
#include "decoupling/config.h"
#include "decoupling/mask_source.h"
#include "io/record_store.h"

namespace deda::decoupling {

// What one picture gave, with what a trace shows besides the records.
struct DecoupledPicture {
  io::ItemResult result;      // CDP then CIP; or outcome and reason
  Masks masks;                // of the accepted (or last tried) source
  io::Image merged, hole;     // union of the masks; what was filled
  int height = 0, width = 0;  // of the source
};

// Runs one picture through masks, union, sanity checks, cut and fill. Never throws for what is wrong with the
// picture or its annotation: that becomes the outcome. Thread-safe; a pure function of its arguments.
DecoupledPicture decouple_picture(const data::Dataset& dataset, const data::Item& item,
                                  std::int64_t item_number,
                                  const std::vector<std::unique_ptr<MaskSource>>& sources,
                                  const DecoupleConfig& config);

// The items of the stage: positions in dataset.items, in store order.
std::vector<std::size_t> decouple_items(const data::Dataset& dataset, const DecoupleConfig& config);
// Text that identifies the stage's result: configuration and the dataset's items (jobs::stage_folder hashes
// it).
std::string decouple_identity(const data::Dataset& dataset, const DecoupleConfig& config);

struct DecoupleRequest {
  const data::Dataset& dataset;
  const DecoupleConfig& config;
  std::filesystem::path folder;  // of the store
  int threads = 1;               // working threads of this rank
  std::optional<std::filesystem::path> trace;
  std::int64_t trace_steps = 0;  // pictures to trace, from the first
};

// Collective. True when the store was complete already. Throws Stopped between segments after a signal or
// deadline, DataError when more than max_failed_share of the pictures failed.
bool decouple(const comm::Communicator& ranks, const DecoupleRequest& request);

}  // namespace deda::decoupling
