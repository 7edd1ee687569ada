#include "decoupling/mask_source.h"

#include <algorithm>

#include "core/error.h"
#include "decoupling/annotated_masks.h"
#include "decoupling/box_grabcut.h"

namespace deda::decoupling {

std::unique_ptr<MaskSource> make_mask_source(const std::string& name, const DecoupleConfig& config) {
  if (name == "annotated") return std::make_unique<AnnotatedMasks>(config.trimap_border);
  if (name == "box_grabcut") return std::make_unique<BoxGrabCut>(config);
  throw ConfigError("\"" + name + "\" is no mask source", "decouple.sources");
}

io::Image union_of(const std::vector<io::Image>& masks) {
  if (masks.empty()) return {};
  io::Image merged = masks.front();
  for (std::size_t i = 1; i < masks.size(); ++i) {
    for (std::size_t p = 0; p < merged.pixels.size(); ++p) merged.pixels[p] |= masks[i].pixels[p];
  }
  return merged;
}

std::int64_t area_of(const io::Image& mask) {
  return std::count_if(mask.pixels.begin(), mask.pixels.end(), [](std::uint8_t value) { return value != 0; });
}

std::array<std::int32_t, 4> box_of(const io::Image& mask) {
  std::array<std::int32_t, 4> box = {mask.width, mask.height, 0, 0};
  for (int y = 0; y < mask.height; ++y) {
    const std::uint8_t* row = mask.row(y);
    for (int x = 0; x < mask.width; ++x) {
      if (row[x] != 0)
        box = {std::min(box[0], x), std::min(box[1], y), std::max(box[2], x + 1), std::max(box[3], y + 1)};
    }
  }
  return box[2] == 0 ? std::array<std::int32_t, 4>{} : box;
}

}  // namespace deda::decoupling
