// A table for papers.
#pragma once

#include <string>

#include "study/result_table.h"

namespace deda::study {

// A `table` environment that needs \usepackage{booktabs}, a wide one \usepackage{graphicx} too: ours, below
// it the paper's number, and the difference to the baseline; how many cells there are, holes and notes below.
std::string to_latex(const ResultTable& table);

}  // namespace deda::study
