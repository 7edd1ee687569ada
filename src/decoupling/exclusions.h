// Pictures that a person looked at and does not want decoupled: a text file, one path (as the store names it)
// a line; `#` begins a comment. A path that holds '#', quotes, blanks at its ends, line ends or bytes that
// are no UTF-8 stands in double quotes (core/escaped_name.h). `deda decouple --review` writes the file with
// its doubts as comments.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "data/dataset.h"

namespace deda::decoupling {

// The path as such a file names it: as it is, or in double quotes where it has to be.
std::string exclusion_entry(const std::string& path);

// Empty for an empty path. ConfigError for a missing file; DataError listing the lines that name no picture
// of the dataset.
std::set<std::string> read_exclusions(const std::filesystem::path& file, const data::Dataset& dataset);

}  // namespace deda::decoupling
