#include "augment/composer.h"

#include <algorithm>
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

}  // namespace

void compose(const AugmentConfig& config, const Choices& choices, const io::Image& canvas,
             const PreparedCdp& first, const PreparedCdp* second, const RowKernels& kernels,
             ComposerScratch& scratch, Draws& draws, std::uint8_t* pixels) {
  auto& combination = std::get<CombinationDraws>(draws.method);
  const int side = static_cast<int>(config.crop);
  if (canvas.width < side || canvas.height < side) throw DataError("a CIP is smaller than the crop");
  draws.crop_x = static_cast<std::int32_t>(
      choices.below(Decision::crop_x, static_cast<std::uint32_t>(canvas.width - side + 1)));
  draws.crop_y = static_cast<std::int32_t>(
      choices.below(Decision::crop_y, static_cast<std::uint32_t>(canvas.height - side + 1)));
  const std::size_t row_bytes = static_cast<std::size_t>(side) * 3;
  const auto canvas_row = [&](int y) {
    return canvas.row(draws.crop_y + y) + static_cast<std::size_t>(draws.crop_x) * 3;
  };
  for (int y = 0; y < side; ++y) {
    for (std::size_t byte = 0; y + rows_ahead < side && byte < row_bytes; byte += cache_line_bytes)
      __builtin_prefetch(canvas_row(y + rows_ahead) + byte);
    std::memcpy(pixels + static_cast<std::size_t>(y) * row_bytes, canvas_row(y), row_bytes);
  }

  Sprite& lower = scratch.first;
  make_sprite(first, combination.u1 * side, combination.angle1, combination.flip1, config.max_enlarge, side,
              kernels, lower, config.edge_sigma);
  const int x1 =
      static_cast<int>(choices.below(Decision::x1, static_cast<std::uint32_t>(side - lower.width + 1)));
  const int y1 =
      static_cast<int>(choices.below(Decision::y1, static_cast<std::uint32_t>(side - lower.height + 1)));
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
    combination.area1 -= least;
    combination.area2 = upper.area;
    paste(upper, combination.box2[0], combination.box2[1], side, kernels, pixels);
  }
  if (draws.flip) {
    for (int y = 0; y < side; ++y) kernels.mirror(pixels + static_cast<std::size_t>(y) * row_bytes, side);
  }
}

std::pair<float, float> label_weights(const CombinationDraws& combination) {
  const std::int64_t sum = combination.area1 + combination.area2;
  if (combination.mix < 0 || sum <= 0) return {1.0f, 0.0f};
  const double weight = static_cast<double>(combination.area1) / static_cast<double>(sum);
  return {static_cast<float>(weight), static_cast<float>(1.0 - weight)};
}

}  // namespace deda::augment
