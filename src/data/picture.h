// The one place where a stage opens a dataset's picture: decoding and what the dataset's layout asks for on
// top.
#pragma once

#include "data/dataset.h"
#include "io/pictures/image_codec.h"

namespace deda::data {

// RGB, EXIF orientation ignored as in the recipes (PIL), banner rows dropped. Throws DataError or IoError
// naming the file.
io::DecodedImage load_picture(const Dataset& dataset, const Item& item);

}  // namespace deda::data
