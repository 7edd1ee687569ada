// Oxford-IIIT Pet (Parkhi et al., CVPR 2012): images/NAME.jpg, annotations/{trainval,test,list}.txt with
// lines "NAME class species breed", annotations/trimaps/NAME.png (1 animal, 2 background, 3 border). The
// boxes in annotations/xmls are of the head, not of the animal, so they are not used. Class ids of a subset
// need not be dense: classes are the breeds that occur, in the order of their ids, named after the file
// name's stem ("american bulldog").
#include <fmt/format.h>

#include <algorithm>

#include "core/escaped_name.h"
#include "data/reader.h"
#include "io/formats/text_table.h"

namespace deda::data {

namespace {

// "american_bulldog_12" -> "american_bulldog"
std::string breed_of(const std::string& name) {
  return name.substr(0, name.rfind('_'));
}

struct Listed {
  std::string name, where;
  std::int64_t original_class = 0;
  Split split = Split::train;
};

void read_list(Reader& reader, const std::string& file, Split split, std::vector<Listed>& listed) {
  const io::TextTable table = io::read_words(reader.config.root / "annotations" / file);
  for (const io::TextRow& row : table.rows) {
    if (row.cells[0].starts_with('#')) continue;
    const auto id = row.cells.size() >= 2 ? io::to_integer(row.cells[1]) : std::nullopt;
    if (!id) {
      reader.problem("is no line \"NAME class species breed\"", table.where(row));
      continue;
    }
    listed.push_back({row.cells[0], table.where(row), *id, split});
  }
}

}  // namespace

void read_oxford_pets(Reader& reader) {
  Dataset& dataset = reader.dataset;
  dataset.name = "Oxford-IIIT Pet";
  dataset.subjects = {"cat", "dog"};
  std::vector<Listed> listed;
  bool official_split = false;
  if (reader.exists("annotations/trainval.txt") || reader.exists("annotations/test.txt")) {
    read_list(reader, "trainval.txt", Split::train, listed);
    read_list(reader, "test.txt", Split::test, listed);
    official_split = true;
  } else if (reader.exists("annotations/list.txt")) {
    read_list(reader, "list.txt", Split::train, listed);
    reader.notes.emplace_back(
        "annotations/trainval.txt and test.txt are absent: all pictures of list.txt are for training");
  } else {
    for (const std::string& name : list_pictures(reader.config.root / "images"))
      listed.push_back({std::filesystem::path(name).stem().string(), "images", 0, Split::train});
    reader.notes.emplace_back(
        "annotations hold no list: all pictures of images/ are for training, classes by file name");
  }
  std::vector<std::pair<std::int64_t, std::string>>
      classes;  // (original id, breed): official order, dense here
  for (const Listed& picture : listed) classes.emplace_back(picture.original_class, breed_of(picture.name));
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  for (const auto& [id, breed] : classes) {
    dataset.class_names.push_back(breed);
    std::replace(dataset.class_names.back().begin(), dataset.class_names.back().end(), '_', ' ');
  }
  std::vector<std::string> without_trimap;
  for (const Listed& picture : listed) {
    Item item;
    item.path = "images/" + picture.name + ".jpg";
    item.split = picture.split;
    const auto found = std::lower_bound(classes.begin(), classes.end(),
                                        std::pair{picture.original_class, breed_of(picture.name)});
    item.class_id = static_cast<std::int32_t>(found - classes.begin());
    const std::string trimap = "annotations/trimaps/" + picture.name + ".png";
    if (reader.exists(trimap)) {
      item.mask = trimap;
      item.mask_encoding = MaskEncoding::pet_trimap;
    } else if (reader.options.check_files) {
      without_trimap.push_back(trimap);
    }
    reader.require_file(item.path, picture.where);
    dataset.items.push_back(std::move(item));
  }
  if (!without_trimap.empty())
    reader.notes.push_back(fmt::format("{} of {} pictures have no mask, since these are missing: {}",
                                       without_trimap.size(), listed.size(), some_of(without_trimap)));
  if (official_split || reader.exists("annotations/list.txt")) reader.note_unlisted("images");
}

}  // namespace deda::data
