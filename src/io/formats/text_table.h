// Text annotation files as rows of cells that remember where they stand, so that every complaint has
// file:line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace deda::io {

struct TextRow {
  int line = 0;  // 1-based
  std::vector<std::string> cells;
};

struct TextTable {
  std::filesystem::path path;
  std::vector<TextRow> rows;
  // "path:line", for Problem::where.
  std::string where(const TextRow& row) const;
};

// Cells separated by blanks and tabs; the last of `max_cells` takes the rest of the line (names with blanks),
// 0: no limit. Empty lines are passed over; marks, UTF-16 and line ends of Windows are read
// (text_encoding.h). Throws DataError (missing, larger than 256 MB, no text) or IoError.
TextTable read_words(const std::filesystem::path& path, std::size_t max_cells = 0);
// Comma-separated values with "quoted, cells" and doubled quotes; the first row is data too.
TextTable read_csv(const std::filesystem::path& path);

// The whole cell as a number, or nothing.
std::optional<std::int64_t> to_integer(const std::string& cell);
std::optional<double> to_number(const std::string& cell);

}  // namespace deda::io
