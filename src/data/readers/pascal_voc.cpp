// Pascal VOC 2007 and 2012 (Everingham et al.): JPEGImages/, Annotations/NAME.xml (objects with 1-based
// inclusive boxes), ImageSets/Main/*.txt, SegmentationClass/NAME.png (palette index = class + 1, 255 =
// border) for a part of the pictures. 2007: train = trainval, test = test. 2012: train = train, test = val
// (the test labels are not public). The item's class is that of its largest object that is not difficult; all
// classes present are in `labels`.
#include <algorithm>
#include <pugixml.hpp>

#include "core/files.h"
#include "data/reader.h"
#include "io/formats/text_table.h"

namespace deda::data {

namespace {

const std::vector<std::string> class_names = {"aeroplane",   "bicycle", "bird",  "boat",      "bottle",
                                              "bus",         "car",     "cat",   "chair",     "cow",
                                              "diningtable", "dog",     "horse", "motorbike", "person",
                                              "pottedplant", "sheep",   "sofa",  "train",     "tvmonitor"};

constexpr std::uint64_t max_annotation_bytes = 16u << 20;

// Fills class, labels and box from the picture's XML; false when it was told as a problem.
bool read_annotation(Reader& reader, const std::string& relative, const std::string& listed, Item& item) {
  const auto path = reader.config.root / relative;
  if (!reader.exists(relative)) {
    if (reader.options.check_files) reader.problem(relative + " is missing", listed);
    return !reader.options.check_files;
  }
  pugi::xml_document document;
  const std::string text = read_text(path, max_annotation_bytes);
  const pugi::xml_parse_result parsed = document.load_buffer(text.data(), text.size());
  if (!parsed) {
    reader.problem(std::string{"is broken XML: "} + parsed.description(), path.string());
    return false;
  }
  double largest = -1;
  for (const bool difficult_too : {false, true}) {  // difficult objects decide only where there is no other
    for (const pugi::xml_node object : document.child("annotation").children("object")) {
      const std::string name = object.child_value("name");
      const auto id = std::find(class_names.begin(), class_names.end(), name);
      if (id == class_names.end()) {
        reader.problem("names the unknown class \"" + name.substr(0, 60) + "\"", path.string());
        return false;
      }
      const bool difficult = object.child("difficult").text().as_int() != 0;
      if (difficult != difficult_too) continue;
      const pugi::xml_node corners = object.child("bndbox");
      const auto box =
          from_one_based(corners.child("xmin").text().as_double(), corners.child("ymin").text().as_double(),
                         corners.child("xmax").text().as_double(), corners.child("ymax").text().as_double());
      if (!(box[2] > box[0]) || !(box[3] > box[1])) {
        reader.problem("has an object without a valid box", path.string());
        return false;
      }
      const auto class_id = static_cast<std::int32_t>(id - class_names.begin());
      if (std::find(item.labels.begin(), item.labels.end(), class_id) == item.labels.end())
        item.labels.push_back(class_id);
      item.objects.push_back({class_id, box});
      const double area = (box[2] - box[0]) * (box[3] - box[1]);
      if (area > largest) {
        largest = area;
        item.class_id = class_id;
        item.box = box;
      }
    }
    if (largest >= 0) break;
  }
  std::sort(item.labels.begin(), item.labels.end());
  if (largest < 0) reader.problem("lists no object", path.string());
  return largest >= 0;
}

}  // namespace

void read_pascal_voc(Reader& reader) {
  const bool is_2007 = reader.config.layout == Layout::voc2007;
  Dataset& dataset = reader.dataset;
  dataset.name = is_2007 ? "Pascal VOC 2007" : "Pascal VOC 2012";
  dataset.class_names = class_names;
  for (const auto& [list, split] : {std::pair{is_2007 ? "trainval" : "train", Split::train},
                                    std::pair{is_2007 ? "test" : "val", Split::test}}) {
    const io::TextTable table =
        io::read_words(reader.config.root / "ImageSets/Main" / (std::string{list} + ".txt"));
    for (const io::TextRow& row : table.rows) {
      Item item;
      item.path = "JPEGImages/" + row.cells[0] + ".jpg";
      item.split = split;
      if (!read_annotation(reader, "Annotations/" + row.cells[0] + ".xml", table.where(row), item)) continue;
      if (const std::string mask = "SegmentationClass/" + row.cells[0] + ".png"; reader.exists(mask)) {
        item.mask = mask;
        item.mask_encoding = MaskEncoding::voc_class;
      }
      reader.require_file(item.path, table.where(row));
      dataset.items.push_back(std::move(item));
    }
  }
}

}  // namespace deda::data
