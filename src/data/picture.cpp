#include "data/picture.h"

#include "core/escaped_name.h"
#include "core/files.h"

namespace deda::data {

Picture load_picture(const Dataset& dataset, const Item& item) {
  const std::filesystem::path path = dataset.file(item.path);
  const io::DecodeLimits limits;
  const auto bytes = read_bytes(path, limits.max_file_bytes);
  Picture picture;
  picture.orientation = orientation_of(dataset, item, io::read_image_header(bytes));
  static_cast<io::DecodedImage&>(picture) = io::decode_image(
      bytes, path_text(path),
      picture.orientation.applied ? io::Orientation::apply_exif : io::Orientation::ignore_exif, limits);
  if (!picture.orientation.note.empty()) picture.notes.push_back(picture.orientation.note);
  io::Image& image = picture.image;
  if (dataset.banner_rows > 0 && image.height > dataset.banner_rows) {
    image.height -= dataset.banner_rows;
    image.pixels.resize(static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width) *
                        static_cast<std::size_t>(image.channels));
  }
  return picture;
}

}  // namespace deda::data
