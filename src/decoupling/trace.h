// `deda decouple --trace`: one safetensors file per picture with everything between picture and records.
#pragma once

#include <filesystem>

#include "decoupling/ladder.h"

namespace deda::decoupling {

// Writes FOLDER/picture-NNNNNN.safetensors: original_size [2] int64, masks [M, H, W] uint8 of the objects
// that have one, boxes [N, 4] and scores [N] of all, union and hole [H, W] uint8, cdp [h, w, 4] (further
// classes cdp_1,
// ...) and cip [h, w, 3] uint8, and what the source's networks saw and said (`grounding_dino.pixel_values`,
// ...); metadata source, prompt, route, outcome, reason, schema. Objects and networks are those of the last
// source tried.
void write_trace(const std::filesystem::path& folder, const std::string& source,
                 const DecoupledPicture& picture);

}  // namespace deda::decoupling
