// The one place where a stage opens a dataset's picture: decoding and what the dataset's layout asks for on
// top.
#pragma once

#include "data/dataset.h"
#include "data/orientation.h"
#include "io/pictures/image_codec.h"

namespace deda::data {

struct Picture : io::DecodedImage {
  PictureOrientation orientation;  // its note is among `notes`
};

// RGB, turned as dataset.orientation says (orientation.h), banner rows dropped. Throws DataError or IoError
// naming the file.
Picture load_picture(const Dataset& dataset, const Item& item);

}  // namespace deda::data
