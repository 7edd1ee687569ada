// What `deda generate --trace` writes: one safetensors file per copy with everything that is needed to replay
// it elsewhere (analysis/replay_generate_trace.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "diffusion/generation/generator.h"

namespace deda::diffusion {

// FOLDER/item-000012-copy-1.safetensors for every copy of one CDP: `position` is its place in the unit that
// `record` tells of. Names: src/diffusion/README.md.
void write_generate_trace(const std::filesystem::path& folder, const Generator& generator,
                          const EditRecord& record, const CdpToEdit& cdp, std::size_t position,
                          const std::vector<EditedCopy>& copies, std::int64_t item);

}  // namespace deda::diffusion
