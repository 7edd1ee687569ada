// What a dataset's pictures, masks and labels hold, so that a result can be named after it: a file corrected
// in place makes another dataset, another folder or file time does not. Each stage's identity takes in what
// that stage reads and no more.
#pragma once

#include <string>
#include <vector>

#include "core/file_digests.h"
#include "data/dataset.h"
#include "data/orientation.h"
#include "data/toy.h"

namespace deda::data {

struct Contents {
  Dataset dataset;
  std::vector<std::string> pictures,
      masks;  // [items] digest of the file; "absent"; masks "" where there is none
  // [items] How the picture is turned: its mask or box may have decided that, so it counts wherever the
  // picture does.
  std::vector<PictureOrientation> orientations;
  // The toy dataset is known before it is drawn: its untouched files stand for the settings that they are
  // drawn from, as "drawn". Empty for every other dataset.
  std::string drawn_from;          // [toy] as JSON
  bool labels_as_drawn = false;    // so are its boxes
  std::vector<std::string> notes;  // what is unusual but no error
};

// Reads annotation files, and every file's digest on `threads` threads. A toy dataset that is not there yet
// is the one that `toy` describes. Errors as load_dataset().
Contents contents_of(const DatasetConfig& config, const ToyConfig& toy, FileDigests& digests, int threads);

// Texts to be hashed. Pictures with their labels, and what mask sources see besides.
struct Seen {
  bool masks = false;  // annotated masks
  bool boxes = false;  // annotated boxes and objects
  bool words = false;  // what the pictures show, in words
};
std::string identity_of_pictures(const Contents& contents, const std::vector<std::size_t>& items,
                                 const Seen& seen);
// Which pictures are in training and their classes: all that identifiers and synthetic CDPs take from a
// dataset beside the store of its parts.
std::string identity_of_training_list(const Contents& contents);
// Training and test pictures with their labels and groups. No masks, no boxes. multi_label: with the labels
// that do not count.
std::string identity_of_classification(const Contents& contents, bool multi_label = false);

}  // namespace deda::data
