// CUB-200-2011 (Wah et al., 2011): images.txt, image_class_labels.txt, train_test_split.txt (1 = train),
// classes.txt, bounding_boxes.txt (x y width height, floats), all by image id from 1; segmentations/ is a
// separate download and may lie inside the folder or beside it.
#include "data/readers/cub_200_2011.h"

#include <algorithm>

namespace deda::data {

std::string species_name(const std::string& folder) {
  std::string name = folder.substr(folder.find('.') == std::string::npos ? 0 : folder.find('.') + 1);
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::int32_t species_index(const std::string& path) {
  const auto id =
      io::to_integer(path.substr(0, 3).erase(0, std::min<std::size_t>(path.find_first_not_of('0'), 2)));
  return id && path.size() > 3 && path[3] == '.' ? static_cast<std::int32_t>(*id - 1) : -1;
}

namespace {

// id -> (cells behind the id, file:line)
using Rows = std::map<std::int64_t, std::pair<std::vector<std::string>, std::string>>;

Rows read_by_id(Reader& reader, const std::string& file, std::size_t cells) {
  Rows rows;
  const io::TextTable table = io::read_words(reader.config.root / file, cells + 1);
  for (const io::TextRow& row : table.rows) {
    const auto id = io::to_integer(row.cells[0]);
    if (!id || row.cells.size() != cells + 1) {
      reader.problem("is no line of " + std::to_string(cells + 1) + " cells that begins with an image id",
                     table.where(row));
      continue;
    }
    if (!rows.emplace(*id, std::pair{std::vector<std::string>(row.cells.begin() + 1, row.cells.end()),
                                     table.where(row)})
             .second) {
      reader.problem("gives image " + row.cells[0] + " twice", table.where(row));
    }
  }
  return rows;
}

}  // namespace

void read_cub_200_2011(Reader& reader) {
  Dataset& dataset = reader.dataset;
  dataset.name = "CUB-200-2011";
  dataset.subjects = {"bird"};
  const Rows classes = read_by_id(reader, "classes.txt", 1), images = read_by_id(reader, "images.txt", 1);
  const Rows labels = read_by_id(reader, "image_class_labels.txt", 1),
             splits = read_by_id(reader, "train_test_split.txt", 1);
  const Rows boxes =
      reader.exists("bounding_boxes.txt") ? read_by_id(reader, "bounding_boxes.txt", 4) : Rows{};
  std::int64_t next = 1;
  for (const auto& [id, row] : classes) {
    if (id != next++) reader.problem("class ids are not 1, 2, 3, ...", row.second);
    dataset.class_names.push_back(species_name(row.first[0]));
  }
  std::string masks;  // relative to the root
  for (const char* place : {"segmentations", "../segmentations"}) {
    if (masks.empty() && std::filesystem::is_directory(reader.config.root / place)) masks = place;
  }
  for (const auto& [id, row] : images) {
    const auto label = labels.find(id), split = splits.find(id);
    if (label == labels.end()) {
      reader.problem("image has no line in image_class_labels.txt", row.second);
      continue;
    }
    if (split == splits.end()) {
      reader.problem("image has no line in train_test_split.txt", row.second);
      continue;
    }
    const auto class_id = io::to_integer(label->second.first[0]);
    if (!class_id || *class_id < 1 || *class_id > static_cast<std::int64_t>(dataset.class_names.size())) {
      reader.problem("has a class that classes.txt does not list", label->second.second);
      continue;
    }
    if (split->second.first[0] != "0" && split->second.first[0] != "1") {
      reader.problem("is neither 0 (test) nor 1 (train)", split->second.second);
      continue;
    }
    Item item;
    item.path = reader.listed_path("images/", row.first[0], row.second);
    item.class_id = static_cast<std::int32_t>(*class_id - 1);
    item.split = split->second.first[0] == "1" ? Split::train : Split::test;
    if (const auto box = boxes.find(id); box != boxes.end()) {
      const auto x = io::to_number(box->second.first[0]), y = io::to_number(box->second.first[1]),
                 w = io::to_number(box->second.first[2]), h = io::to_number(box->second.first[3]);
      if (!x || !y || !w || !h) {
        reader.problem("is no box \"id x y width height\"", box->second.second);
        continue;
      }
      const std::array<double, 4> corners{*x, *y, *x + *w, *y + *h};
      if (!reader.check_box(corners, box->second.second)) continue;
      item.box = corners;
    }
    if (!masks.empty()) {
      const std::string mask = masks + std::filesystem::path(item.path.substr(std::string{"images"}.size()))
                                           .replace_extension(".png")
                                           .generic_string();
      if (reader.exists(mask)) {
        item.mask = mask;
        item.mask_encoding = MaskEncoding::grey;
      }
    }
    reader.require_file(item.path, row.second);
    dataset.items.push_back(std::move(item));
  }
  if (masks.empty())
    reader.notes.emplace_back(
        "no segmentations/ folder inside or beside the dataset: no masks (they are a separate download)");
}

}  // namespace deda::data
