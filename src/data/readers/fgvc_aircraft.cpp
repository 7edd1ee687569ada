// FGVC-Aircraft 2013b (Maji et al., 2013): data/images/<7 digits>.jpg, images_variant_{trainval,test}.txt
// ("id variant", the name may hold blanks), variants.txt (class order), images_box.txt ("id xmin ymin xmax
// ymax", top left pixel (1,1)). Train = trainval. The lowest 20 pixel rows of a picture are a banner
// (dataset.strip_banner drops them).
#include <algorithm>

#include "data/reader.h"
#include "io/formats/text_table.h"

namespace deda::data {

namespace {

std::map<std::string, std::array<double, 4>> read_boxes(Reader& reader, const std::filesystem::path& path) {
  std::map<std::string, std::array<double, 4>> boxes;
  const io::TextTable table = io::read_words(path);
  for (const io::TextRow& row : table.rows) {
    std::array<std::optional<double>, 4> sides;
    for (std::size_t i = 0; i < 4 && i + 1 < row.cells.size(); ++i)
      sides[i] = io::to_number(row.cells[i + 1]);
    if (row.cells.size() != 5 || !sides[0] || !sides[1] || !sides[2] || !sides[3]) {
      reader.problem("is no line \"id xmin ymin xmax ymax\"", table.where(row));
      continue;
    }
    const auto box = from_one_based(*sides[0], *sides[1], *sides[2], *sides[3]);
    if (!reader.check_box(box, table.where(row))) continue;
    if (!boxes.emplace(row.cells[0], box).second)
      reader.problem("gives picture " + row.cells[0] + " a second box", table.where(row));
  }
  return boxes;
}

}  // namespace

void read_fgvc_aircraft(Reader& reader) {
  Dataset& dataset = reader.dataset;
  constexpr std::int32_t banner_rows = 20;
  dataset.name = "FGVC-Aircraft";
  dataset.subjects = {"aircraft"};
  if (reader.config.strip_banner) dataset.banner_rows = banner_rows;
  // Root may be the release folder, which has data/ inside, or data/ itself.
  const std::string prefix = reader.exists("data/variants.txt") ? "data/" : "";
  const auto folder = reader.config.root / prefix;
  for (const io::TextRow& row : io::read_words(folder / "variants.txt", 1).rows)
    dataset.class_names.push_back(row.cells[0]);
  std::map<std::string, std::int32_t> class_ids;
  for (std::size_t i = 0; i < dataset.class_names.size(); ++i)
    class_ids[dataset.class_names[i]] = static_cast<std::int32_t>(i);
  const auto boxes = reader.exists(prefix + "images_box.txt")
                         ? read_boxes(reader, folder / "images_box.txt")
                         : std::map<std::string, std::array<double, 4>>{};
  for (const auto& [file, split] : {std::pair{"images_variant_trainval.txt", Split::train},
                                    std::pair{"images_variant_test.txt", Split::test}}) {
    const io::TextTable table = io::read_words(folder / file, 2);
    for (const io::TextRow& row : table.rows) {
      if (row.cells.size() != 2) {
        reader.problem("is no line \"id variant\"", table.where(row));
        continue;
      }
      const auto id = class_ids.find(row.cells[1]);
      if (id == class_ids.end()) {
        reader.problem("names variant \"" + row.cells[1] + "\", which variants.txt does not list",
                       table.where(row));
        continue;
      }
      Item item;
      item.path = prefix + "images/" + row.cells[0] + ".jpg";
      item.class_id = id->second;
      item.split = split;
      if (const auto box = boxes.find(row.cells[0]); box != boxes.end()) item.box = box->second;
      reader.require_file(item.path, table.where(row));
      dataset.items.push_back(std::move(item));
    }
  }
}

}  // namespace deda::data
