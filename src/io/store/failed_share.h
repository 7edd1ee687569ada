// The end of a stage that keeps going when items fail: too many of them are an error after all.
#pragma once

#include <filesystem>
#include <string>

#include "comm/communicator.h"

namespace deda::io {

struct FailedShareLimit {
  double most = 1.0;         // of the store's items, 0..1
  std::string key;           // that sets it, for the error: "generate.max_failed_share"
  std::string failed_items;  // what the error says of them: "CDPs failed"
};

// Collective. DataError where more than that share of a finished store's items are unreadable or failed.
void check_failed_share(const comm::Communicator& ranks, const std::filesystem::path& store,
                        const FailedShareLimit& limit);

}  // namespace deda::io
