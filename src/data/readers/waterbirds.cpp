// Waterbirds (Sagawa et al., ICLR 2020): CUB's birds before backgrounds of Places. metadata.csv: img_id,
// img_filename, y (0 landbird, 1 waterbird), split (0 train, 1 validation, 2 test), place (0 land, 1 water),
// place_filename. The class is the species (paper table 5 is 200-way accuracy by group); group = 2*y + place.
#include <algorithm>

#include "data/readers/cub_200_2011.h"

namespace deda::data {

void read_waterbirds(Reader& reader) {
  Dataset& dataset = reader.dataset;
  dataset.name = "Waterbirds";
  dataset.subjects = {"bird"};
  dataset.group_names = {"landbird on land", "landbird on water", "waterbird on land", "waterbird on water"};
  const io::TextTable table = io::read_csv(reader.config.root / "metadata.csv");
  if (table.rows.empty()) throw DataError("is empty", table.path.string());
  const auto column = [&](const char* name) {
    const auto& header = table.rows[0].cells;
    const auto found = std::find(header.begin(), header.end(), name);
    if (found == header.end())
      reader.problem(std::string{"has no column "} + name, table.where(table.rows[0]));
    return static_cast<std::size_t>(found - header.begin());
  };
  const std::size_t file = column("img_filename"), y_column = column("y"), split_column = column("split"),
                    place_column = column("place");
  std::map<std::int32_t, std::string> species;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const io::TextRow& row = table.rows[i];
    if (row.cells.size() != table.rows[0].cells.size()) {
      reader.problem("has another number of cells than the header", table.where(row));
      continue;
    }
    if (std::max({file, y_column, split_column, place_column}) >= row.cells.size())
      break;  // a column is missing: told above
    const auto y = io::to_integer(row.cells[y_column]), split = io::to_integer(row.cells[split_column]),
               place = io::to_integer(row.cells[place_column]);
    const std::string path = reader.listed_path({}, row.cells[file], table.where(row));
    const std::int32_t id = species_index(path);
    if (!y || !split || !place || *y < 0 || *y > 1 || *split < 0 || *split > 2 || *place < 0 || *place > 1) {
      reader.problem("has y, split or place out of range", table.where(row));
      continue;
    }
    if (id < 0) {
      reader.problem("names a picture outside of a species folder \"003.Name/\"", table.where(row));
      continue;
    }
    Item item;
    item.path = path;
    item.class_id = id;
    item.split = *split == 0 ? Split::train : *split == 1 ? Split::validation : Split::test;
    item.group = static_cast<std::int32_t>(2 * *y + *place);
    species[id] = species_name(item.path.substr(0, item.path.find('/')));
    reader.require_file(item.path, table.where(row));
    dataset.items.push_back(std::move(item));
  }
  if (!species.empty()) dataset.class_names.resize(static_cast<std::size_t>(species.rbegin()->first) + 1);
  for (const auto& [id, name] : species) dataset.class_names[static_cast<std::size_t>(id)] = name;
}

}  // namespace deda::data
