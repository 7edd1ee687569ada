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
#include <string_view>
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
  // Classes of which every object is difficult (VOC): neither present nor absent, left out of training and
  // tests with several labels. Where there is nothing else they are in `labels` too.
  std::vector<std::int32_t> difficult;
  std::vector<ObjectBox> objects;  // every annotated object (VOC); empty means {class_id, box}
};

// What becomes of a picture's EXIF orientation (orientation.h).
enum class OrientationChoice : std::uint8_t { automatic, ignore, apply };

// Beginning of the names of pictures and masks that lie below Dataset::test_root.
inline constexpr std::string_view in_test_root = "<test_root>/";

struct Dataset {
  std::string name;
  std::filesystem::path root;
  std::vector<std::string> class_names;
  std::vector<std::string> group_names;  // empty where items have no group
  std::vector<std::string> subjects;     // what all pictures show, in a word: {"bird"}; empty: by class
  std::vector<Item> items;               // order is fixed by the dataset's own files, never by the directory
  std::int32_t banner_rows = 0;          // lowest pixel rows to drop from every picture (Aircraft)
  OrientationChoice orientation = OrientationChoice::automatic;
  // Where the test pictures lie, if not below `root` (dataset.test_root): names that begin with in_test_root.
  std::filesystem::path test_root;
  std::string test_name;     // of that dataset
  bool multi_label = false;  // what pictures are asked for: all their classes, or their one class
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
  bool strip_banner = false;                // Aircraft: drop the lowest 20 rows (copyright banner)
  std::filesystem::path test_root;          // empty: the dataset's own test pictures
  Layout test_layout = Layout::waterbirds;  // of test_root
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

// Several labels per picture in the layout's own files.
bool has_several_labels(Layout layout);

// The picture's label vector [classes]: 1 for its class, 0 for the others; with dataset.multi_label 1 for
// every class present, -1 for those that do not count (difficult alone), 0 for the others.
void fill_label(const Dataset& dataset, const Item& item, float* label);

// Takes the test pictures of another dataset in place of the dataset's own, with their groups; classes are
// matched by name. load_dataset() does it where config.test_root is set. DataError when one has a class that
// the dataset does not have, or there is none.
void take_test_pictures(Dataset& dataset, Dataset other);

// Few-shot: drops training pictures beyond config.images_per_class of each class (0: keeps all).
// load_dataset() does it.
void keep_few(Dataset& dataset, const DatasetConfig& config);

// Which pictures a few-shot choice left: lines "picture,class" in the dataset's order, for people and
// programs.
std::string few_shot_list(const Dataset& dataset);
inline constexpr const char* few_shot_list_name = "few_shot.csv";

}  // namespace deda::data
