#include "augment/composer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace deda::augment {

namespace {

// How far copying asks the cache ahead: a crop's rows do not lie side by side in its canvas.
constexpr int rows_ahead = 4;

// (x, y): of the sprite's box, which lies on the canvas; a softened edge may reach over it.
void paste(const Sprite& sprite, int x, int y, int side, const RowKernels& kernels, std::uint8_t* pixels) {
  const int left = std::max(0, x - sprite.reach), right = std::min(side, x + sprite.width + sprite.reach);
  const int top = std::max(0, y - sprite.reach), bottom = std::min(side, y + sprite.height + sprite.reach);
  for (int row = top; row < bottom; ++row) {
    kernels.blend(pixels + (static_cast<std::size_t>(row) * static_cast<std::size_t>(side) +
                            static_cast<std::size_t>(left)) *
                               3,
                  sprite.row(row - y) + (left - x), right - left);
  }
}

// Visible pixels of the first sprite that the second would hide at (x, y).
std::int64_t hidden_area(const Sprite& first, int first_x, int first_y, const Sprite& second, int x, int y,
                         const RowKernels& kernels) {
  const int left = std::max(first_x, x), right = std::min(first_x + first.width, x + second.width);
  const int top = std::max(first_y, y), bottom = std::min(first_y + first.height, y + second.height);
  if (left >= right) return 0;
  std::int64_t hidden = 0;
  for (int row = top; row < bottom; ++row) {
    hidden += kernels.overlap(
        &first.cover[static_cast<std::size_t>(row - first_y) * static_cast<std::size_t>(first.width) +
                     static_cast<std::size_t>(left - first_x)],
        &second.cover[static_cast<std::size_t>(row - y) * static_cast<std::size_t>(second.width) +
                      static_cast<std::size_t>(left - x)],
        right - left);
  }
  return hidden;
}

struct Corner {
  int x = 0, y = 0;
};

// The crop's place on the canvas as it is drawn.
Corner drawn_crop(const Choices& choices, const io::Image& canvas, int side) {
  return {
      static_cast<int>(choices.below(Decision::crop_x, static_cast<std::uint32_t>(canvas.width - side + 1))),
      static_cast<int>(
          choices.below(Decision::crop_y, static_cast<std::uint32_t>(canvas.height - side + 1)))};
}

// A box of the CDP's size about its place on the resized picture inside the canvas's border.
Corner corner_in_place(const OwnPlace& place, const Sprite& sprite, const io::Image& canvas, int pad) {
  const auto along = [pad](double middle, int size, int whole) {
    const int inner = whole - 2 * pad;
    return pad + std::clamp(static_cast<int>(std::lround(middle * inner - size / 2.0)), 0,
                            std::max(0, inner - size));
  };
  return {along(place.x, sprite.width, canvas.width), along(place.y, sprite.height, canvas.height)};
}

void copy_crop(const io::Image& canvas, Corner crop, int side, std::uint8_t* pixels) {
  const std::size_t row_bytes = static_cast<std::size_t>(side) * 3;
  const auto canvas_row = [&](int y) {
    return canvas.row(crop.y + y) + static_cast<std::size_t>(crop.x) * 3;
  };
  for (int y = 0; y < side; ++y) {
    for (std::size_t byte = 0; y + rows_ahead < side && byte < row_bytes; byte += cache_line_bytes)
      __builtin_prefetch(canvas_row(y + rows_ahead) + byte);
    std::memcpy(pixels + static_cast<std::size_t>(y) * row_bytes, canvas_row(y), row_bytes);
  }
}

}  // namespace

OwnPlace own_place(const PartView& view, const PreparedCdp& cdp, ResizeRule resize) {
  double left = cdp.width, top = cdp.height, right = 0, bottom = 0;
  for (const auto& [x, y] : cdp.outline) {
    left = std::min(left, x);
    right = std::max(right, x);
    top = std::min(top, y);
    bottom = std::max(bottom, y);
  }
  // From pixels of the CDP to shares of the picture.
  const double width = (view.lies[2] - view.lies[0]) / cdp.width,
               height = (view.lies[3] - view.lies[1]) / cdp.height;
  const double aspect = resize == ResizeRule::square ? 1.0 : view.picture_aspect,
               side_x = std::max(1.0, aspect), side_y = std::max(1.0, 1.0 / aspect);  // over the shorter side
  return {view.lies[0] + width * (left + right) / 2, view.lies[1] + height * (top + bottom) / 2,
          std::max(width * (right - left) * side_x, height * (bottom - top) * side_y)};
}

void compose(const AugmentConfig& config, const Choices& choices, const io::Image& canvas,
             const PreparedCdp& first, const PreparedCdp* second, const RowKernels& kernels,
             ComposerScratch& scratch, Draws& draws, std::uint8_t* pixels, const OwnPlace* place) {
  auto& combination = std::get<CombinationDraws>(draws.method);
  const int side = static_cast<int>(config.crop);
  if (canvas.width < side || canvas.height < side) throw DataError("a CIP is smaller than the crop");
  Corner crop = drawn_crop(choices, canvas, side);
  Sprite& lower = scratch.first;
  int x1, y1;
  if (place != nullptr) {
    const double longer_side =
        std::min(place->size * static_cast<double>(config.resize_shorter), static_cast<double>(side));
    combination.u1 = longer_side / side;
    make_sprite(first, longer_side, 0, false, 0, side, kernels, lower, config.edge_sigma);
    const Corner box = corner_in_place(*place, lower, canvas, static_cast<int>(config.pad));
    crop.x = std::clamp(crop.x, box.x + lower.width - side, box.x);
    crop.y = std::clamp(crop.y, box.y + lower.height - side, box.y);
    x1 = box.x - crop.x;
    y1 = box.y - crop.y;
  } else {
    make_sprite(first, combination.u1 * side, combination.angle1, combination.flip1, config.max_enlarge, side,
                kernels, lower, config.edge_sigma);
    x1 = static_cast<int>(choices.below(Decision::x1, static_cast<std::uint32_t>(side - lower.width + 1)));
    y1 = static_cast<int>(choices.below(Decision::y1, static_cast<std::uint32_t>(side - lower.height + 1)));
  }
  draws.crop_x = crop.x;
  draws.crop_y = crop.y;
  copy_crop(canvas, crop, side, pixels);
  combination.box1 = {x1, y1, lower.width, lower.height};
  combination.area1 = lower.area;
  paste(lower, x1, y1, side, kernels, pixels);

  if (second != nullptr) {
    Sprite& upper = scratch.second;
    make_sprite(*second, combination.u2 * side, combination.angle2, combination.flip2, config.max_enlarge,
                side, kernels, upper, config.edge_sigma);
    std::int64_t least = -1;
    for (std::uint32_t attempt = 0; attempt < static_cast<std::uint32_t>(config.placement_tries); ++attempt) {
      const int x = static_cast<int>(
          choices.below(Decision::x2, static_cast<std::uint32_t>(side - upper.width + 1), 2 * attempt));
      const int y = static_cast<int>(
          choices.below(Decision::y2, static_cast<std::uint32_t>(side - upper.height + 1), 2 * attempt));
      const std::int64_t hidden = hidden_area(lower, x1, y1, upper, x, y, kernels);
      if (least < 0 || hidden < least) {
        least = hidden;
        combination.box2 = {x, y, upper.width, upper.height};
      }
      if (static_cast<double>(hidden) < config.max_occlusion * static_cast<double>(lower.area)) break;
    }
    if (config.label_area == LabelArea::visible) combination.area1 -= least;
    combination.area2 = upper.area;
    paste(upper, combination.box2[0], combination.box2[1], side, kernels, pixels);
  }
  if (draws.flip) {
    for (int y = 0; y < side; ++y)
      kernels.mirror(pixels + static_cast<std::size_t>(y) * static_cast<std::size_t>(side) * 3, side);
  }
}

void fill_combined_label(const AugmentConfig& config, const data::Dataset& dataset, const data::Item& donor,
                         const CombinationDraws& combination, float* label) {
  const auto [first, second] = label_weights(combination);
  std::fill_n(label, dataset.class_names.size(), 0.0f);
  if (!dataset.multi_label) {
    label[combination.class1] += first;
    if (combination.mix >= 0) label[combination.class2] += second;
    return;
  }
  if (config.paste_on)
    data::fill_label(dataset, donor, label);
  else
    for (const std::int32_t id : donor.difficult) label[id] = -1.0f;
  const auto add = [&](std::int32_t id, std::int64_t area, float weight) {
    if (area <= 0) return;
    label[id] =
        config.mixed_label == MixedLabel::hard ? 1.0f : std::min(1.0f, std::max(0.0f, label[id]) + weight);
  };
  add(combination.class1, combination.area1, first);
  if (combination.mix >= 0) add(combination.class2, combination.area2, second);
}

std::pair<float, float> label_weights(const CombinationDraws& combination) {
  const std::int64_t sum = combination.area1 + combination.area2;
  if (combination.mix < 0 || sum <= 0) return {1.0f, 0.0f};
  const double weight = static_cast<double>(combination.area1) / static_cast<double>(sum);
  return {static_cast<float>(weight), static_cast<float>(1.0 - weight)};
}

}  // namespace deda::augment
