// A dataset as every stage sees it: a list of pictures in a fixed order with class, split, masks and boxes
// where the dataset has them. Readers (src/data/readers/) make one from each original layout; nothing here
// opens a picture.
//
// Names of files, classes, groups and the dataset are escaped text (core/escaped_name.h): always UTF-8, one
// text per name, also in stores. A file is opened by Dataset::file.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"

namespace deda::data {

// held_out: taken out of the training pictures by hold_out() (held_out.h).
enum class Split : std::uint8_t { train, validation, test, held_out };

// How to read the values of a mask file.
enum class MaskEncoding : std::uint8_t {
  none,        // there is no mask file
  nonzero,     // any value but 0 is the object
  grey,        // value / 255 >= 0.5 is the object (CUB segmentations)
  pet_trimap,  // 1 object, 2 background, 3 border (undecided)
  voc_class,   // palette index = class + 1, 255 = border; the item's own class is the object
};

// One annotated object of a picture.
struct ObjectBox {
  std::int32_t class_id = -1;
  std::array<double, 4> box{};  // xyxy, pixels, 0-based, half open
};

struct Item {
  std::string path;            // relative to Dataset::root; also the name in stores and logs
  std::int32_t class_id = -1;  // index into class_names
  Split split = Split::train;
  std::string mask;  // relative path, empty where there is none
  MaskEncoding mask_encoding = MaskEncoding::none;
  std::optional<std::array<double, 4>> box;  // xyxy, pixels, 0-based, half open
  std::int32_t group = -1;                   // Waterbirds: 2*y + place; toy: 0 usual, 1 swapped background
  std::vector<std::int32_t> labels;          // all classes present (VOC); empty means {class_id}
  std::vector<ObjectBox> objects;            // every annotated object (VOC); empty means {class_id, box}
};

// What becomes of a picture's EXIF orientation (orientation.h).
enum class OrientationChoice : std::uint8_t { automatic, ignore, apply };

struct Dataset {
  std::string name;
  std::filesystem::path root;
  std::vector<std::string> class_names;
  std::vector<std::string> group_names;  // empty where items have no group
  std::vector<std::string> subjects;     // what all pictures show, in a word: {"bird"}; empty: by class
  std::vector<Item> items;               // order is fixed by the dataset's own files, never by the directory
  std::int32_t banner_rows = 0;          // lowest pixel rows to drop from every picture (Aircraft)
  OrientationChoice orientation = OrientationChoice::automatic;
  std::vector<std::size_t> indices(Split split) const;
  // The file of an item's `path` or `mask`, in the bytes of its name.
  std::filesystem::path file(const std::string& name) const;
};

enum class Layout : std::uint8_t { folder, pets, cub, aircraft, cars, voc2007, voc2012, waterbirds, toy };

struct DatasetConfig {
  Layout layout = Layout::toy;
  std::filesystem::path root;         // folder of the dataset; toy: made by `deda toy`
  std::filesystem::path masks;        // folder layout: masks beside the images, same relative names
  double test_share = 0.25;           // folder layout without train/ and test/: share held out per class
  std::int64_t images_per_class = 0;  // few-shot: that many training images per class, 0 = all
  std::int64_t subset_seed = 0;
  OrientationChoice orientation = OrientationChoice::automatic;
  bool strip_banner = false;  // Aircraft: drop the lowest 20 rows (copyright banner)
  void describe(ConfigVisitor& visitor);
};

struct LoadOptions {
  bool check_files = true;  // false: annotation files alone (their pictures are elsewhere)
};

// Reads the layout's own files and checks that what they list is there. DataError lists every problem (up to
// 20, then a count): missing file, malformed line with file:line, class out of range, empty class, duplicate.
// What is unusual but no error (a picture that is listed nowhere) is added to `notes`. Few-shot: with
// images_per_class = n, the training split keeps n pictures per class, a pure function of subset_seed and the
// class's list (reference: training recipe, 10-shot).
Dataset load_dataset(const DatasetConfig& config, const LoadOptions& options = {},
                     std::vector<std::string>* notes = nullptr);

// Few-shot: drops training pictures beyond config.images_per_class of each class (0: keeps all).
// load_dataset() does it.
void keep_few(Dataset& dataset, const DatasetConfig& config);

}  // namespace deda::data
