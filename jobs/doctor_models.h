// What `deda doctor` says about [models]: which files are there, what they are, whether they belong together,
// what is missing and where it is published, and how much memory the model takes. Reads headers and small
// files only (and the sums of LayerDiffuse's small networks), so that it works without Torch and in a second.
#pragma once

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

ModelsFinding examine_models(const diffusion::ModelsConfig& config);

}  // namespace deda::jobs
