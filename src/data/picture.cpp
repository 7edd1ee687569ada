#include "data/picture.h"

namespace deda::data {

io::DecodedImage load_picture(const Dataset& dataset, const Item& item) {
  io::DecodedImage decoded = io::read_image(dataset.file(item.path));
  io::Image& image = decoded.image;
  if (dataset.banner_rows > 0 && image.height > dataset.banner_rows) {
    image.height -= dataset.banner_rows;
    image.pixels.resize(static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width) *
                        static_cast<std::size_t>(image.channels));
  }
  return decoded;
}

}  // namespace deda::data
