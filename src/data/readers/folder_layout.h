// Where the classes, splits and masks of an image folder lie, from the names below it alone. Internal to
// src/data/readers.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "data/dataset.h"
#include "data/folder_listing.h"

namespace deda::data {

// The folders in `prefix` (relative to the root, "" the root itself) are classes.
struct ClassPlace {
  std::string prefix;
  Split split = Split::train;
};

// A folder inside the root that holds masks, under the names that the pictures have below one of `bases`.
struct MaskPlace {
  std::string folder;
  std::vector<std::string> bases;
};

struct FolderLayout {
  std::vector<ClassPlace> places;  // training first, then test, then validation
  bool split_folders = false;
  std::string top;                    // the deepest folder that all places are in
  std::vector<MaskPlace> masks;       // found beside the classes by name and content
  std::vector<std::string> no_class;  // folders beside the classes that hold no pictures of them
  std::vector<std::string> notes;     // what was concluded
  std::vector<Problem> problems;      // `where` is relative to the root
};

// `masks_are_named`: dataset.masks is set, so that folders of masks inside the root are passed over.
FolderLayout layout_of(const FolderListing& listing, bool masks_are_named);

// a, "" -> a; a, b -> a/b; "", b -> b.
std::string below(const std::string& folder, const std::string& name);
// The path below `folder`, or nothing where it lies elsewhere. Everything lies below "".
std::optional<std::string> path_below(const std::string& folder, const std::string& path);
// Names that say "pictures", not what they show: images, masks, train, ...
bool names_no_class(const std::string& name);

}  // namespace deda::data
