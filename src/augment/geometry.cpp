#include "augment/geometry.h"

#include <cmath>
#include <cstring>

#include "io/pictures/resize.h"

namespace deda::augment {

Geometry geometry_of(const AugmentConfig& config) {
  return {config.resize, static_cast<int>(config.resize_shorter), static_cast<int>(config.pad),
          static_cast<int>(config.crop)};
}

io::Image resized(const Geometry& geometry, const io::Image& picture) {
  if (geometry.resize == ResizeRule::square)
    return io::resize(picture, geometry.resized_side, geometry.resized_side);
  return io::resize_shorter_side(picture, geometry.resized_side);
}

io::Image canvas_for_training(const Geometry& geometry, const io::Image& picture) {
  io::Image inner = resized(geometry, picture);
  if (geometry.pad == 0) return inner;
  io::Image padded(inner.height + 2 * geometry.pad, inner.width + 2 * geometry.pad, inner.channels);
  const std::size_t channels = static_cast<std::size_t>(inner.channels);
  for (int y = 0; y < inner.height; ++y)
    std::memcpy(padded.row(y + geometry.pad) + static_cast<std::size_t>(geometry.pad) * channels,
                inner.row(y), static_cast<std::size_t>(inner.width) * channels);
  return padded;
}

io::Image centre_square(const Geometry& geometry, const io::Image& picture) {
  const io::Image whole = resized(geometry, picture);
  io::Image centre(geometry.crop, geometry.crop, 3);
  crop_into(whole, centre_offset(whole.width, geometry.crop), centre_offset(whole.height, geometry.crop),
            geometry.crop, centre.pixels.data());
  return centre;
}

void crop_into(const io::Image& image, int x, int y, int side, std::uint8_t* pixels) {
  const std::size_t row_bytes = static_cast<std::size_t>(side) * 3;
  for (int row = 0; row < side; ++row)
    std::memcpy(pixels + static_cast<std::size_t>(row) * row_bytes,
                image.row(y + row) + static_cast<std::size_t>(x) * 3, row_bytes);
}

int centre_offset(int size, int crop) {
  return static_cast<int>(std::nearbyint((size - crop) / 2.0));
}

}  // namespace deda::augment
