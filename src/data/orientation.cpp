#include "data/orientation.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/pictures/image_codec.h"

namespace deda::data {

namespace {

struct Size {
  double width = 0, height = 0;
  bool operator==(const Size&) const = default;
};

io::ImageHeader header_or_nothing(const std::filesystem::path& path) {
  try {
    return io::header_of_file(path);
  } catch (const Error&) {
    return {};
  }
}

bool holds_all_boxes(const Item& item, const Size& size) {
  constexpr double slack_pixels = 1;  // tools round, and some count from 1
  const auto holds = [&](const std::array<double, 4>& box) {
    return box[2] <= size.width + slack_pixels && box[3] <= size.height + slack_pixels;
  };
  return (!item.box || holds(*item.box)) &&
         std::all_of(item.objects.begin(), item.objects.end(),
                     [&](const auto& object) { return holds(object.box); });
}

// What the annotation fits: as stored, upright, both or neither.
struct Fit {
  bool stored = false, upright = false;
  std::string_view witness;  // "mask", "box"; empty: there is none
};

Fit fit_of(const Dataset& dataset, const Item& item, const Size& stored, const Size& upright) {
  if (!item.mask.empty()) {
    const io::ImageHeader mask = header_or_nothing(dataset.file(item.mask));
    const Size size{static_cast<double>(mask.width), static_cast<double>(mask.height)};
    return {size == stored, size == upright, "mask"};
  }
  if (item.box || !item.objects.empty())
    return {holds_all_boxes(item, stored), holds_all_boxes(item, upright), "box"};
  return {};
}

}  // namespace

bool decides_by_annotation(const Dataset& dataset, const Item& item) {
  return dataset.orientation == OrientationChoice::automatic &&
         (!item.mask.empty() || item.box || !item.objects.empty());
}

PictureOrientation orientation_of(const Dataset& dataset, const Item& item, const io::ImageHeader& header) {
  PictureOrientation orientation;
  orientation.exif = header.exif_orientation;
  if (header.exif_orientation == 1) return orientation;
  const std::string name = fmt::format("EXIF orientation {}", header.exif_orientation);
  if (dataset.orientation == OrientationChoice::apply) {
    orientation.applied = true;
    orientation.note = "turned upright by " + name;
    return orientation;
  }
  orientation.note = name + " ignored";
  if (!decides_by_annotation(dataset, item)) return orientation;
  const Size stored{static_cast<double>(header.width), static_cast<double>(header.height)};
  const Size upright = header.turns_sides() ? Size{stored.height, stored.width} : stored;
  const Fit fit = fit_of(dataset, item, stored, upright);
  if (fit.upright && !fit.stored) {
    orientation.applied = true;
    orientation.note = fmt::format("turned upright by {}: the {} fits so", name, fit.witness);
  } else if (fit.stored && !fit.upright) {
    orientation.note += fmt::format(": the {} fits the picture as stored", fit.witness);
  } else if (fit.stored) {
    orientation.doubtful = !item.mask.empty();
    orientation.note += fmt::format(": the {} fits both ways", fit.witness);
  }
  return orientation;
}

PictureOrientation orientation_of(const Dataset& dataset, const Item& item) {
  return orientation_of(dataset, item, header_or_nothing(dataset.file(item.path)));
}

}  // namespace deda::data
