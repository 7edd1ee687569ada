// The toy dataset that `deda toy` draws: labels.csv names picture, mask, class, split, group, ground and box.
#include "data/toy.h"

#include <algorithm>

#include "data/reader.h"
#include "io/formats/text_table.h"

namespace deda::data {

void read_toy(Reader& reader) {
  const auto& root = reader.config.root;
  if (!read_toy_record(root))
    throw DataError("holds no finished toy dataset of this version", root.string(),
                    "Draw it with `deda toy`, with the same configuration.");
  const io::TextTable table = io::read_csv(root / "labels.csv");
  Dataset& dataset = reader.dataset;
  dataset.name = toy_dataset_name;
  dataset.group_names = {toy_group_names[0], toy_group_names[1]};
  for (const char* name : toy_class_names) {
    const bool used = std::any_of(table.rows.begin(), table.rows.end(), [&](const io::TextRow& row) {
      return row.cells.size() > 2 && row.cells[2] == name;
    });
    if (used) dataset.class_names.emplace_back(name);
  }
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const io::TextRow& row = table.rows[i];
    const std::string where = table.where(row);
    constexpr std::size_t cells = 10;
    if (row.cells.size() != cells) {
      reader.problem("has not 10 cells", where);
      continue;
    }
    Item item;
    item.path = row.cells[0];
    item.mask = row.cells[1];
    item.mask_encoding = MaskEncoding::nonzero;
    const auto name = std::find(dataset.class_names.begin(), dataset.class_names.end(), row.cells[2]);
    if (name == dataset.class_names.end()) {
      reader.problem("has the unknown class \"" + row.cells[2] + "\"", where);
      continue;
    }
    item.class_id = static_cast<std::int32_t>(name - dataset.class_names.begin());
    item.split = row.cells[3] == "train" ? Split::train : Split::test;
    const auto group = io::to_integer(row.cells[4]);
    std::array<double, 4> box{};
    bool numbers = group && *group >= 0 && *group <= 1;
    for (std::size_t c = 0; c < 4; ++c) {
      const auto value = io::to_number(row.cells[6 + c]);
      numbers = numbers && value;
      box[c] = value.value_or(0);
    }
    if (!numbers) {
      reader.problem("has a cell that is no number", where);
      continue;
    }
    item.group = item.split == Split::test ? static_cast<std::int32_t>(*group) : -1;
    item.box = box;
    reader.require_file(item.path, where);
    reader.require_file(item.mask, where);
    dataset.items.push_back(std::move(item));
  }
}

}  // namespace deda::data
