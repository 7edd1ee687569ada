#include "decoupling/annotated_masks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "data/orientation.h"
#include "decoupling/mask_meaning.h"

namespace deda::decoupling {

namespace {

// Pascal's colour of a class number: its bits, from the lowest, go to red, green and blue in turn, from the
// top.
std::array<std::uint8_t, 3> pascal_colour(int number) {
  std::array<std::uint8_t, 3> colour{};
  for (int bit = 7; number != 0; --bit, number >>= 3) {
    for (int c = 0; c < 3; ++c)
      colour[static_cast<std::size_t>(c)] |= static_cast<std::uint8_t>((number >> c & 1) << bit);
  }
  return colour;
}

io::Image classes_of_colours(const io::MaskFile& file) {
  constexpr int classes = 21, border = 255;
  constexpr std::uint16_t no_class = 254;
  std::map<std::array<std::uint8_t, 3>, std::uint8_t> numbers{{pascal_colour(border), border}};
  for (int number = 0; number < classes; ++number)
    numbers[pascal_colour(number)] = static_cast<std::uint8_t>(number);
  io::Image values(file.height, file.width, 1);
  const auto channels = static_cast<std::size_t>(file.channels);
  for (std::size_t i = 0; i < values.pixels.size(); ++i) {
    std::array<std::uint8_t, 3> colour{};
    for (std::size_t c = 0; c < colour.size(); ++c)
      colour[c] = static_cast<std::uint8_t>(file.samples[i * channels + c]);
    const auto found = numbers.find(colour);
    values.pixels[i] = found == numbers.end() ? no_class : found->second;
  }
  return values;
}

bool is_grey(const io::MaskFile& file) {
  if (file.channels < 3) return true;
  const auto channels = static_cast<std::size_t>(file.channels);
  for (std::size_t i = 0; i < file.samples.size(); i += channels) {
    if (file.samples[i] != file.samples[i + 1] || file.samples[i] != file.samples[i + 2]) return false;
  }
  return true;
}

// Why sizes may differ, as far as they tell.
std::string likely_reason(int mask_width, int mask_height, const io::Image& picture,
                          const data::PictureOrientation& orientation) {
  constexpr int few_pixels = 8;
  constexpr double same_proportions = 0.02;
  const int width = picture.width, height = picture.height;
  if (mask_width == height && mask_height == width)
    return orientation.exif == 1
               ? "its sides are swapped: turn the mask, or the picture, by a quarter"
               : fmt::format(
                     "its sides are swapped, and the picture has EXIF orientation {} ({}): see "
                     "dataset.orientation",
                     orientation.exif, orientation.applied ? "applied" : "ignored");
  if (std::abs(mask_width - width) <= few_pixels && std::abs(mask_height - height) <= few_pixels)
    return "a few pixels off: crop or pad the mask to the picture's size, at the side where they were lost";
  const double proportions =
      static_cast<double>(mask_width) * height / (static_cast<double>(mask_height) * width);
  if (std::abs(proportions - 1) <= same_proportions)
    return fmt::format(
        "the same picture at {:.3g} times its size: scale the masks to the pictures' size, with "
        "nearest neighbour",
        static_cast<double>(mask_width) / width);
  return "it may be another picture's mask";
}

}  // namespace

io::Image values_of(const io::MaskFile& file, data::MaskEncoding encoding) {
  if (encoding == data::MaskEncoding::voc_class && file.palette.empty() && file.white == 255 &&
      !is_grey(file))
    return classes_of_colours(file);
  io::Image values = io::stored_values(file);
  if (encoding != data::MaskEncoding::grey) return values;
  constexpr int white = 255;
  const auto channels = static_cast<std::size_t>(file.channels);
  const std::size_t colours = channels - (file.channels == 2 || file.channels == 4 ? 1 : 0);
  for (std::size_t i = 0; i < values.pixels.size(); ++i) {
    const std::uint16_t* pixel = &file.samples[i * channels];
    if (file.palette.empty()) {
      values.pixels[i] =
          static_cast<std::uint8_t>(*std::max_element(pixel, pixel + colours) * white / file.white);
    } else {
      const auto colour = *pixel < file.palette.size() ? file.palette[*pixel] : std::array<std::uint8_t, 4>{};
      values.pixels[i] = std::max({colour[0], colour[1], colour[2]});
    }
  }
  return values;
}

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

namespace {

void add_part(Masks& found, const io::Image& mask, std::int32_t class_id, bool keep_tensors) {
  const auto box = box_of(mask);
  if (box[2] == 0) return;
  FoundObject object;
  object.box = {static_cast<double>(box[0]), static_cast<double>(box[1]), static_cast<double>(box[2]),
                static_cast<double>(box[3])};
  object.class_id = class_id;
  add_object(found, std::move(object), mask, keep_tensors);
}

}  // namespace

Masks AnnotatedMasks::find(const data::Dataset& dataset, const MaskRequest& request) const {
  const data::Item& item = *request.item;
  Masks found;
  found.route = name();
  if (item.mask.empty()) {
    found.reason = "no mask file";
    return found;
  }
  const io::MaskFile file = io::read_mask_file(dataset.file(item.mask));
  const io::Image& picture = *request.picture;
  if (file.height != picture.height || file.width != picture.width) {
    throw DataError(fmt::format("mask has {} x {} pixels, but the picture has {} x {}: {}", file.width,
                                file.height, picture.width, picture.height,
                                likely_reason(file.width, file.height, picture, request.orientation)),
                    item.mask);
  }
  if (request.orientation.doubtful)
    throw DataError(
        fmt::format("the picture has EXIF orientation {}, and its size does not tell whether the mask "
                    "was drawn on it as stored or upright",
                    request.orientation.exif),
        item.mask, "Set dataset.orientation to ignore (as stored) or apply (upright).");
  if (item.mask_encoding == data::MaskEncoding::nonzero) {
    MeantMask meant = meant_mask(file);
    found.undecided = std::move(meant.undecided);
    found.notes = std::move(meant.notes);
    add_part(found, meant.object, item.class_id, request.keep_tensors);
  } else {
    const io::Image values = values_of(file, item.mask_encoding);
    const bool by_class = item.mask_encoding == data::MaskEncoding::voc_class;
    for (const std::int32_t class_id : by_class ? request.classes : std::vector{item.class_id}) {
      const io::Image mask = decode_mask(values, item.mask_encoding, class_id, border_, found.undecided);
      add_part(found, mask, class_id, request.keep_tensors);
    }
  }
  if (found.parts.empty()) found.reason = "the mask has no object pixel";
  return found;
}

}  // namespace deda::decoupling
