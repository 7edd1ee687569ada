// Which way up a picture is read. Cameras store pictures as the sensor lay and say in EXIF how to turn them;
// Pillow and so the recipes ignore that, most annotation tools do not. Decided per picture, from files alone,
// so that every stage sees the same pixels.
#pragma once

#include <string>

#include "data/dataset.h"
#include "io/pictures/image_header.h"

namespace deda::data {

struct PictureOrientation {
  int exif = 1;           // 1..8, what the file says; 1: nothing to turn
  bool applied = false;   // the picture is turned upright
  bool doubtful = false;  // automatic, and the mask fits both ways: read as stored, and the mask is refused
  std::string note;       // for the picture's outcome; empty where exif is 1
};

// Orientation::automatic turns a picture where only its upright form fits the size of its mask file, or,
// without a mask, holds its boxes; everything else is read as stored. `header` is the picture's. Never
// throws: files that cannot be read decide nothing.
PictureOrientation orientation_of(const Dataset& dataset, const Item& item, const io::ImageHeader& header);
PictureOrientation orientation_of(const Dataset& dataset, const Item& item);  // opens the picture's header

// Whether the item's orientation is anything that other files than the picture decide.
bool decides_by_annotation(const Dataset& dataset, const Item& item);

}  // namespace deda::data
