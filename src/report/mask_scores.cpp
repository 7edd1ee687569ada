#include "report/mask_scores.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "io/formats/text_table.h"

namespace deda::report {

namespace {

constexpr const char* file_name = "mask_scores.csv";
constexpr std::array<std::string_view, 4> header = {"item", "source", "cdp_keeps", "cip_keeps"};
constexpr const char* format_hint =
    "The columns are item,source,cdp_keeps,cip_keeps; src/report/README.md says what they mean.";

double probability_of(const std::string& cell, std::string_view column, const std::string& where) {
  const auto value = io::to_number(cell);
  if (!value || !(*value >= 0 && *value <= 1))
    throw DataError(fmt::format("{} is \"{}\", no probability", column, cell), where,
                    "Probabilities are numbers from 0 to 1.");
  return *value;
}

}  // namespace

MaskScores read_mask_scores(const io::StoreReader& store) {
  const std::filesystem::path file = store.folder() / file_name;
  MaskScores scores;
  if (!std::filesystem::exists(file)) return scores;
  const io::TextTable table = io::read_csv(file);
  if (table.rows.empty()) throw DataError("is empty", file.string(), format_hint);
  const auto& names = table.rows.front().cells;
  if (!std::equal(names.begin(), names.end(), header.begin(), header.end()))
    throw DataError(fmt::format("has the columns {}", fmt::join(names, ",")), table.where(table.rows.front()),
                    format_hint);
  const auto& sources = store.description().sources;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const io::TextRow& row = table.rows[i];
    const std::string where = table.where(row);
    if (row.cells.size() != header.size())
      throw DataError(fmt::format("has {} cells", row.cells.size()), where, format_hint);
    const auto item = io::to_integer(row.cells[0]);
    if (!item || *item < 0 || static_cast<std::size_t>(*item) >= sources.size())
      throw DataError(fmt::format("item is \"{}\", and the store has {} items", row.cells[0], sources.size()),
                      where, "Items are numbered from 0, as in the store.");
    if (row.cells[1] != sources[static_cast<std::size_t>(*item)])
      throw DataError(fmt::format("item {} of the store is {}, not {}", *item,
                                  sources[static_cast<std::size_t>(*item)], row.cells[1]),
                      where, "The scores are of another store: make them again or remove the file.");
    const MaskScore score{probability_of(row.cells[2], header[2], where),
                          probability_of(row.cells[3], header[3], where)};
    if (!scores.emplace(*item, score).second)
      throw DataError(fmt::format("item {} has a second score", *item), where, "One line an item.");
  }
  return scores;
}

std::string words_of(const MaskScore& score) {
  return fmt::format("mask score {:.2f} (CDP alone {:.2f}, CIP alone {:.2f})", score.quality(),
                     score.cdp_keeps, score.cip_keeps);
}

}  // namespace deda::report
