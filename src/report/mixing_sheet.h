// What an image-mixing method made of a batch, from a trace (`deda train --trace`): for each picture itself,
// its partner, what the method looked at, the share that stays, the mixed picture and its label.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "report/contact_sheet.h"

namespace deda::report {

struct MixingSheet {
  std::string method;               // as augment.method names it
  std::string step;                 // of training
  std::string decided;              // what was drawn for the batch, in words
  std::vector<std::string> titles;  // of the columns
  std::vector<SheetRow> rows;       // [at most `items`] pictures of rank 0's share
};

// Whether the folder holds a trace of a training that mixed batches.
bool is_mixing_trace(const std::filesystem::path& folder);
// Of the first traced step whose batch was mixed; nothing where none was. DataError for a damaged trace.
std::optional<MixingSheet> mixing_sheet(const std::filesystem::path& folder, std::size_t items);

}  // namespace deda::report
