// Pascal VOC 2007 and 2012 (Everingham et al.): JPEGImages/, Annotations/NAME.xml (objects with 1-based
// inclusive boxes), ImageSets/Main/*.txt, SegmentationClass/NAME.png (palette index = class + 1, 255 =
// border) for a part of the pictures. 2007: train = trainval, test = test. 2012: train = train, test = val
// (the test labels are not public). The item's class is that of its largest object that is not difficult; all
// classes present are in `labels`, those with difficult objects alone in `difficult`. A file classes.txt in
// the root, a name per line, takes the place of Pascal's 20 classes: annotations of one's own in this layout
// (palette index = line). Other programs write polygons instead of boxes, blanks and capitals in names,
// UTF-16.
#include <fmt/format.h>

#include <algorithm>
#include <pugixml.hpp>
#include <sstream>

#include "core/escaped_name.h"
#include "core/files.h"
#include "data/reader.h"
#include "io/formats/text_encoding.h"
#include "io/formats/text_table.h"

namespace deda::data {

namespace {

const std::vector<std::string> pascal_names = {"aeroplane",   "bicycle", "bird",  "boat",      "bottle",
                                               "bus",         "car",     "cat",   "chair",     "cow",
                                               "diningtable", "dog",     "horse", "motorbike", "person",
                                               "pottedplant", "sheep",   "sofa",  "train",     "tvmonitor"};

constexpr std::uint64_t max_annotation_bytes = 16u << 20;

std::string trimmed(const std::string& text) {
  constexpr const char* blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::optional<double> number_in(const pugi::xml_node& parent, const std::string& name) {
  return io::to_number(trimmed(parent.child_value(name.c_str())));
}

// One picture's annotation, with the line of each part.
class Annotation {
 public:
  Annotation(Reader& reader, std::filesystem::path path) : reader_{reader}, path_{std::move(path)} {}

  // Fills class, labels and box; false where something was told as a problem.
  bool read(Item& item) {
    bool was_utf16 = false;
    text_ = io::plain_text(read_text(path_, max_annotation_bytes), path_.string(), &was_utf16);
    const pugi::xml_parse_result parsed =
        document_.load_buffer(text_.data(), text_.size(), pugi::parse_default,
                              was_utf16 ? pugi::encoding_utf8 : pugi::encoding_auto);
    if (!parsed) {
      problem(std::string{"is broken XML: "} + parsed.description(),
              line_at(static_cast<std::size_t>(parsed.offset)));
      return false;
    }
    const auto all = document_.child("annotation").children("object");
    bool good = true;
    std::vector<Object> objects;
    for (const pugi::xml_node node : all) {
      const auto object = read_object(node);
      good = good && object;
      if (object) objects.push_back(*object);
    }
    if (all.begin() == all.end()) problem("lists no object", 0, "Take the picture out of the list.");
    if (!good || objects.empty()) return false;
    // Difficult objects decide only where there is no other.
    const bool any_easy =
        std::any_of(objects.begin(), objects.end(), [](const Object& o) { return !o.difficult; });
    double largest = -1;
    for (const Object& object : objects) {
      const bool easily_there = std::any_of(objects.begin(), objects.end(), [&](const Object& other) {
        return other.class_id == object.class_id && !other.difficult;
      });
      if (!easily_there &&
          std::find(item.difficult.begin(), item.difficult.end(), object.class_id) == item.difficult.end())
        item.difficult.push_back(object.class_id);
      if (object.difficult && any_easy) continue;
      if (std::find(item.labels.begin(), item.labels.end(), object.class_id) == item.labels.end())
        item.labels.push_back(object.class_id);
      item.objects.push_back({object.class_id, object.box});
      const double area = (object.box[2] - object.box[0]) * (object.box[3] - object.box[1]);
      if (area <= largest) continue;
      largest = area;
      item.class_id = object.class_id;
      item.box = object.box;
    }
    std::sort(item.labels.begin(), item.labels.end());
    std::sort(item.difficult.begin(), item.difficult.end());
    return true;
  }

 private:
  struct Object {
    std::int32_t class_id = -1;
    std::array<double, 4> box{};
    bool difficult = false;
  };

  std::optional<Object> read_object(const pugi::xml_node& node) {
    const std::string written = node.child_value("name"), name = trimmed(written);
    const std::size_t line = line_of(node.child("name") ? node.child("name") : node);
    const auto& class_names = reader_.dataset.class_names;
    auto id = std::find(class_names.begin(), class_names.end(), name);
    if (id == class_names.end()) {
      id = std::find(class_names.begin(), class_names.end(), lower(name));
      if (id != class_names.end())
        note(fmt::format("object(s) \"{}\" read as \"{}\"", escaped_name(name), *id), line);
    }
    const auto box = read_box(node);
    if (id == class_names.end()) {
      problem(fmt::format("names the unknown class \"{}\"", escaped_name(written.substr(0, most_shown))),
              line,
              fmt::format(
                  "The list has {} classes; others are given by a file classes.txt in the dataset's folder, "
                  "one name per line.",
                  class_names.size()));
      return std::nullopt;
    }
    if (!box) return std::nullopt;
    return Object{static_cast<std::int32_t>(id - class_names.begin()), *box,
                  node.child("difficult").text().as_int() != 0};
  }

  // Its box, else the extent of its polygon; told as a problem where there is neither.
  std::optional<std::array<double, 4>> read_box(const pugi::xml_node& node) {
    const pugi::xml_node corners = node.child("bndbox"), polygon = node.child("polygon");
    if (!corners && polygon) return read_polygon(polygon);
    if (!corners) {
      problem("has an object without bndbox", line_of(node),
              "Give it a box, or take the picture out of the list.");
      return std::nullopt;
    }
    if (corners.next_sibling("bndbox"))
      note("object(s) with several boxes, of which the first counts", line_of(corners));
    std::array<double, 4> box{};
    constexpr std::array names{"xmin", "ymin", "xmax", "ymax"};
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto side = number_in(corners, names[i]);
      if (!side) {
        problem(fmt::format("has a box whose {} is no number", names[i]), line_of(corners));
        return std::nullopt;
      }
      box[i] = *side;
    }
    box = from_one_based(box[0], box[1], box[2], box[3]);
    if (!reader_.check_box(box, where(line_of(corners)))) return std::nullopt;
    return box;
  }

  // <x1>, <y1>, <x2>, ... or <pt><x>, <y></pt>...: corners on pixels, 1-based as boxes are.
  std::optional<std::array<double, 4>> read_polygon(const pugi::xml_node& polygon) {
    constexpr std::size_t least_corners = 3;
    std::vector<std::pair<std::optional<double>, std::optional<double>>> corners;
    for (const pugi::xml_node point : polygon.children("pt"))
      corners.emplace_back(number_in(point, "x"), number_in(point, "y"));
    for (int i = 1;
         corners.size() + 1 == static_cast<std::size_t>(i) && polygon.child(fmt::format("x{}", i).c_str());
         ++i)
      corners.emplace_back(number_in(polygon, fmt::format("x{}", i)),
                           number_in(polygon, fmt::format("y{}", i)));
    const bool numbers =
        std::all_of(corners.begin(), corners.end(), [](const auto& c) { return c.first && c.second; });
    if (corners.size() < least_corners || !numbers) {
      problem(fmt::format("has an object without bndbox and with a polygon of {} corners{}", corners.size(),
                          numbers ? "" : " that are not all numbers"),
              line_of(polygon), "Give it a box, or a polygon of three corners or more.");
      return std::nullopt;
    }
    std::array<double, 4> box{*corners[0].first, *corners[0].second, *corners[0].first, *corners[0].second};
    for (const auto& [x, y] : corners)
      box = {std::min(box[0], *x), std::min(box[1], *y), std::max(box[2], *x), std::max(box[3], *y)};
    box = from_one_based(box[0], box[1], box[2], box[3]);
    if (!reader_.check_box(box, where(line_of(polygon)))) return std::nullopt;
    return box;
  }

  std::size_t line_at(std::size_t offset) const {
    return 1 + static_cast<std::size_t>(std::count(
                   text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text_.size())),
                   '\n'));
  }
  // 0: not known.
  std::size_t line_of(const pugi::xml_node& node) const {
    const auto offset = node.offset_debug();
    return offset < 0 ? 0 : line_at(static_cast<std::size_t>(offset));
  }
  std::string where(std::size_t line) const {
    return line == 0 ? path_.string() : fmt::format("{}:{}", path_.string(), line);
  }
  void problem(std::string what, std::size_t line, std::string hint = {}) {
    reader_.problem(std::move(what), where(line), std::move(hint));
  }
  void note(const std::string& what, std::size_t line) { reader_.note_at(what, where(line)); }

  static constexpr std::size_t most_shown = 60;
  Reader& reader_;
  std::filesystem::path path_;
  std::string text_;
  pugi::xml_document document_;
};

// Fills class, labels and box from the picture's XML; false when it was told as a problem.
bool read_annotation(Reader& reader, const std::string& relative, const std::string& listed, Item& item) {
  if (!reader.exists(relative)) {
    if (reader.options.check_files) reader.problem(relative + " is missing", listed);
    return !reader.options.check_files;
  }
  return Annotation(reader, reader.config.root / relative).read(item);
}

constexpr const char* own_classes = "classes.txt";

void read_own_classes(Reader& reader) {
  Dataset& dataset = reader.dataset;
  const auto file = reader.config.root / own_classes;
  dataset.name = std::filesystem::absolute(file).parent_path().filename().string();
  dataset.class_names.clear();
  std::istringstream lines(read_text(file));
  for (std::string line; std::getline(lines, line);) {
    const std::string name = trimmed(line);
    if (name.empty()) continue;
    if (std::find(dataset.class_names.begin(), dataset.class_names.end(), name) != dataset.class_names.end())
      reader.problem(fmt::format("names \"{}\" twice", escaped_name(name)), file.string());
    dataset.class_names.push_back(name);
  }
  if (dataset.class_names.empty())
    reader.problem("names no class", file.string(),
                   "Write one name per line, or remove it for Pascal's 20 classes.");
}

}  // namespace

void read_pascal_voc(Reader& reader) {
  const bool is_2007 = reader.config.layout == Layout::voc2007;
  Dataset& dataset = reader.dataset;
  dataset.name = is_2007 ? "Pascal VOC 2007" : "Pascal VOC 2012";
  dataset.class_names = pascal_names;
  if (reader.exists(own_classes)) read_own_classes(reader);
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
