// Tables for programs: one line per cell, and one per run.
#pragma once

#include <string>

#include "study/result_table.h"

namespace deda::study {

// A line for each cell, rows first, then its row's average. Percent and points with six decimals; nothing
// where there is no number. Lists (seeds, folders, keys) are separated by semicolons.
std::string to_csv(const ResultTable& table);

// A line for each seed of each cell: every value of the run, and where it is.
std::string seeds_to_csv(const ResultTable& table);

// A cell of a CSV file: in quotes where it needs them.
std::string csv_cell(const std::string& text);

}  // namespace deda::study
