// An Oxford-IIIT Pet folder with smaller pictures: what a pack has room for.
#include <algorithm>
#include <cstdio>

#include "check.h"
#include "core/error.h"
#include "core/files.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"

namespace deda::check {
namespace {

namespace fs = std::filesystem;

// The value of the pixel whose centre is nearest: trimap values are names, nothing lies between them.
io::Image nearest(const io::Image& from, int height, int width) {
  io::Image to(height, width, from.channels);
  for (int y = 0; y < height; ++y) {
    const auto* source =
        from.row(static_cast<int>((2 * static_cast<std::int64_t>(y) + 1) * from.height / (2 * height)));
    auto* target = to.row(y);
    for (int x = 0; x < width; ++x) {
      const auto column = (2 * static_cast<std::int64_t>(x) + 1) * from.width / (2 * width);
      for (int c = 0; c < from.channels; ++c)
        target[x * from.channels + c] = source[column * from.channels + c];
    }
  }
  return to;
}

}  // namespace

Outcome pictures(const Arguments& arguments) {
  const fs::path from = arguments.required(0, "the folder with the pictures"),
                 to = arguments.required(1, "the new folder");
  const int side = std::stoi(arguments.get("side", "256")),
            quality = std::stoi(arguments.get("quality", "90"));
  const fs::path images = fs::path{"images"}, trimaps = fs::path{"annotations"} / "trimaps";
  make_folder(to / images);
  make_folder(to / trimaps);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(from / images)) {
    if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  int masks = 0;
  for (const auto& file : files) {
    const auto picture = io::read_image(file).image;
    const int shorter = std::min({side, picture.height, picture.width});
    int height = 0, width = 0;
    io::shorter_side_size(picture.height, picture.width, shorter, height, width);
    io::write_image(to / images / file.filename(), io::resize(picture, height, width), quality);
    const auto trimap = trimaps / (file.stem().string() + ".png");
    if (!fs::exists(from / trimap)) continue;
    const auto mask = io::read_mask(from / trimap);
    if (mask.height != picture.height || mask.width != picture.width)
      throw DataError("the trimap has another size than its picture", (from / trimap).string());
    io::write_image(to / trimap, nearest(mask, height, width));
    ++masks;
  }
  for (const char* list : {"list.txt", "trainval.txt", "test.txt"}) {
    const auto path = fs::path{"annotations"} / list;
    if (fs::exists(from / path)) write_atomically(to / path, read_text(from / path));
  }
  std::printf("%zu pictures, %d trimaps\n", files.size(), masks);
  return files.empty() ? Outcome::failed : Outcome::passed;
}

}  // namespace deda::check
