// A table for terminals.
#pragma once

#include <string>

#include "study/result_table.h"

namespace deda::study {

// Aligned; wide tables in blocks of columns below one another, each at most `width` letters where one column
// fits. Holes and notes below.
std::string to_text(const ResultTable& table, std::size_t width = 120);

}  // namespace deda::study
