// `deda decouple --trace`: one safetensors file per picture with everything between picture and records.
#pragma once

#include <filesystem>

#include "decoupling/decouple.h"

namespace deda::decoupling {

// Writes FOLDER/picture-NNNNNN.safetensors: original_size [2] int64, masks [N, H, W] uint8, union and hole
// [H, W] uint8, boxes [N, 4], scores [N], cdp [h, w, 4] and cip [h, w, 3] uint8; metadata source, prompt,
// route, outcome, reason, schema.
void write_trace(const std::filesystem::path& folder, const std::string& source,
                 const DecoupledPicture& picture);

}  // namespace deda::decoupling
