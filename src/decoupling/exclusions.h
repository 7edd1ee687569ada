// Pictures that a person looked at and does not want decoupled: a text file, one path (as the store names it)
// a line; `#` begins a comment. `deda decouple --review` writes it with its doubts as comments.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "data/dataset.h"

namespace deda::decoupling {

// Empty for an empty path. ConfigError for a missing file; DataError listing the lines that name no picture
// of the dataset.
std::set<std::string> read_exclusions(const std::filesystem::path& file, const data::Dataset& dataset);

}  // namespace deda::decoupling
