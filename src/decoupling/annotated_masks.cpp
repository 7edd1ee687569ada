#include "decoupling/annotated_masks.h"

#include <fmt/format.h>

#include "core/error.h"
#include "io/pictures/image_codec.h"

namespace deda::decoupling {

io::Image decode_mask(const io::Image& values, data::MaskEncoding encoding, std::int32_t class_id,
                      TrimapBorder border, io::Image& undecided) {
  constexpr std::uint8_t grey_threshold = 128;  // value / 255 >= 0.5
  constexpr std::uint8_t trimap_object = 1, trimap_border = 3, voc_border = 255;
  io::Image mask(values.height, values.width, 1);
  undecided = {};
  const bool has_border =
      encoding == data::MaskEncoding::pet_trimap || encoding == data::MaskEncoding::voc_class;
  if (has_border) undecided = io::Image(values.height, values.width, 1);
  for (std::size_t i = 0; i < values.pixels.size(); ++i) {
    const std::uint8_t value = values.pixels[i];
    bool object = false, border_pixel = false;
    switch (encoding) {
      case data::MaskEncoding::nonzero:
        object = value != 0;
        break;
      case data::MaskEncoding::grey:
        object = value >= grey_threshold;
        break;
      case data::MaskEncoding::pet_trimap:
        object = value == trimap_object;
        border_pixel = value == trimap_border;
        break;
      case data::MaskEncoding::voc_class:
        object = value == class_id + 1;
        border_pixel = value == voc_border;
        break;
      case data::MaskEncoding::none:
        break;
    }
    if (border_pixel) {
      undecided.pixels[i] = 255;
      object = encoding == data::MaskEncoding::pet_trimap && border == TrimapBorder::inside;
    }
    mask.pixels[i] = object ? 255 : 0;
  }
  return mask;
}

Masks AnnotatedMasks::find(const data::Dataset& dataset, const MaskRequest& request) const {
  const data::Item& item = *request.item;
  Masks found;
  found.route = name();
  if (item.mask.empty()) {
    found.reason = "no mask file";
    return found;
  }
  const io::Image values = io::read_mask(dataset.file(item.mask));
  if (values.height != request.picture->height || values.width != request.picture->width) {
    throw DataError(fmt::format("mask has {} x {} pixels, but the picture has {} x {}", values.width,
                                values.height, request.picture->width, request.picture->height),
                    item.mask);
  }
  const bool by_class = item.mask_encoding == data::MaskEncoding::voc_class;
  const std::vector<std::int32_t> classes = by_class ? request.classes : std::vector{item.class_id};
  for (const std::int32_t class_id : classes) {
    const io::Image mask = decode_mask(values, item.mask_encoding, class_id, border_, found.undecided);
    const auto box = box_of(mask);
    if (box[2] == 0) continue;
    FoundObject object;
    object.box = {static_cast<double>(box[0]), static_cast<double>(box[1]), static_cast<double>(box[2]),
                  static_cast<double>(box[3])};
    object.class_id = class_id;
    add_object(found, std::move(object), mask, request.keep_tensors);
  }
  if (found.parts.empty()) found.reason = "the mask has no object pixel";
  return found;
}

}  // namespace deda::decoupling
