// What there is to say about [models]: which files are there, what they are, whether they belong together,
// what is missing and where it is published, and how much memory the model takes. `deda doctor` prints it;
// its problems stop `deda invert` and `deda generate` before they work, also with --dry-run. Reads headers
// and small files only (and the sums of LayerDiffuse's small networks), so that it works without Torch and in
// a second.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "diffusion/config.h"

namespace deda::jobs {

struct ModelsFinding {
  std::vector<std::pair<std::string, std::string>> lines;  // part, finding
  std::vector<Problem> problems;
};

// `resolution`: diffusion.resolution, pixels a side; 0: the model's own, which always fits.
ModelsFinding examine_models(const diffusion::ModelsConfig& config, std::int64_t resolution = 0);

}  // namespace deda::jobs
