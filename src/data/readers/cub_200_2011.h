// The lists of CUB-200-2011 by image id; Waterbirds refers to the same pictures. Internal to
// src/data/readers.
#pragma once

#include <map>
#include <string>

#include "data/reader.h"
#include "io/formats/text_table.h"

namespace deda::data {

// "003.Sooty_Albatross" -> "Sooty Albatross"
std::string species_name(const std::string& folder);
// "003.Sooty_Albatross/x.jpg" -> 2, or -1.
std::int32_t species_index(const std::string& path);

}  // namespace deda::data
