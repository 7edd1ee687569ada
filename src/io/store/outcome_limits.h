// The end of a stage that keeps going when items fail: too many of them, or nothing at all to show for it,
// are errors after all. Checked every time the stage is called, so that a second call of a finished store
// does not pass for a success.
#pragma once

#include <filesystem>
#include <string>

#include "comm/communicator.h"

namespace deda::io {

struct OutcomeLimits {
  std::string section;          // of the configuration, for errors: "generate"
  double max_failed_share = 1;  // of the store's items, 0..1: SECTION.max_failed_share
  std::string failed_items;     // what the error says of them: "CDPs failed"
  bool allow_empty = true;      // SECTION.allow_empty: false where a store without a record is an error
  std::string wanted_records;   // what the error says is missing: "usable synthetic CDP"
};

// Collective. DataError where more than that share of a finished store's items are unreadable or failed, and
// where no item gave a record (with its most frequent reasons).
void check_outcomes(const comm::Communicator& ranks, const std::filesystem::path& store,
                    const OutcomeLimits& limits);

}  // namespace deda::io
