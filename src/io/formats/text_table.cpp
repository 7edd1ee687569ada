#include "io/formats/text_table.h"

#include <charconv>
#include <cmath>
#include <string_view>

#include "core/files.h"
#include "io/formats/text_encoding.h"

namespace deda::io {

namespace {

constexpr std::uint64_t max_file_bytes = 256ull << 20;

std::string read_table_text(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path))
    throw DataError("is missing", path.string(),
                    "Check the dataset's folder (dataset.root) and its layout (dataset.layout).");
  return plain_text(read_text(path, max_file_bytes), path.string());
}

// Calls row(line_number, text) for every line that is not blank.
template <class Row>
void for_each_line(const std::string& text, Row&& row) {
  int line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    std::string_view view{text.data() + begin, end - begin};
    while (!view.empty() && (view.back() == ' ' || view.back() == '\t')) view.remove_suffix(1);
    ++line;
    if (!view.empty()) row(line, view);
    begin = end + 1;
  }
}

}  // namespace

std::string TextTable::where(const TextRow& row) const {
  return path.string() + ":" + std::to_string(row.line);
}

TextTable read_words(const std::filesystem::path& path, std::size_t max_cells) {
  TextTable table{path, {}};
  const std::string text = read_table_text(path);
  for_each_line(text, [&](int line, std::string_view view) {
    TextRow row{line, {}};
    std::size_t at = view.find_first_not_of(" \t");
    while (at != std::string_view::npos) {
      std::size_t end = view.find_first_of(" \t", at);
      if (end == std::string_view::npos || (max_cells != 0 && row.cells.size() + 1 == max_cells))
        end = view.size();
      row.cells.emplace_back(view.substr(at, end - at));
      at = end < view.size() ? view.find_first_not_of(" \t", end) : std::string_view::npos;
    }
    if (!row.cells.empty()) table.rows.push_back(std::move(row));
  });
  return table;
}

TextTable read_csv(const std::filesystem::path& path) {
  TextTable table{path, {}};
  const std::string text = read_table_text(path);
  for_each_line(text, [&](int line, std::string_view view) {
    TextRow row{line, {std::string{}}};
    bool quoted = false;
    for (std::size_t i = 0; i < view.size(); ++i) {
      const char c = view[i];
      if (quoted && c == '"' && i + 1 < view.size() && view[i + 1] == '"') {
        row.cells.back() += c;
        ++i;
      } else if (c == '"')
        quoted = !quoted;
      else if (c == ',' && !quoted)
        row.cells.emplace_back();
      else
        row.cells.back() += c;
    }
    if (quoted) throw DataError("has a quote that is not closed", path.string() + ":" + std::to_string(line));
    table.rows.push_back(std::move(row));
  });
  return table;
}

std::optional<std::int64_t> to_integer(const std::string& cell) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size() || cell.empty()) return std::nullopt;
  return value;
}

std::optional<double> to_number(const std::string& cell) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size() || cell.empty() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

}  // namespace deda::io
