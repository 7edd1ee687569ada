// A person who takes pictures out must not wait for all masks once more: where the same stage has been run to
// its end without exclusions, its results are taken over, segment by segment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/store/record_store.h"

namespace deda::decoupling {

class EarlierStore {
 public:
  // The finished store in `folder`, or nothing (no such folder, not finished, damaged).
  static std::optional<EarlierStore> find(const std::filesystem::path& folder);

  struct Item {
    io::ItemResult result;
    std::string look;  // its line of what was seen
  };
  // Of the segment's items [first, last) every `step`-th from first + `start` on: a rank's share. Nothing
  // where one of its records or a line is damaged or missing: the segment is then made anew.
  std::optional<std::vector<Item>> items(std::int64_t segment, std::int64_t first, std::int64_t last,
                                         std::int64_t start, std::int64_t step) const;

 private:
  explicit EarlierStore(const std::filesystem::path& folder) : store_{folder} {}
  io::StoreReader store_;
};

}  // namespace deda::decoupling
