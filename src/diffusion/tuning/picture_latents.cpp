#include "diffusion/tuning/picture_latents.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "diffusion/whole/picture_autoencoder.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {
namespace {

// A longer picture would need gigabytes once its shorter side is as long as the square's.
constexpr int most_elongated = 64;

int place_of(const SquareRules& rules, int extent, std::uint32_t place) {
  // Python's round(): halves to even.
  if (rules.crop == TuneCrop::center) return static_cast<int>(std::nearbyint(extent / 2.0));
  constexpr int bits = 32;
  const auto choose = [&](std::int64_t count) {
    return static_cast<std::int64_t>(
        (static_cast<std::uint64_t>(place) * static_cast<std::uint64_t>(count)) >> bits);
  };
  const std::int64_t all = std::int64_t{extent} + 1;
  if (rules.crop_positions == 0 || rules.crop_positions >= all) return static_cast<int>(choose(all));
  if (rules.crop_positions == 1) return extent / 2;
  return static_cast<int>(choose(rules.crop_positions) * extent / (rules.crop_positions - 1));
}

}  // namespace

SquarePlace square_place(const SquareRules& rules, int height, int width, std::uint32_t place) {
  if (rules.crop == TuneCrop::squash) return {};
  int new_height = 0, new_width = 0;
  io::shorter_side_size(height, width, static_cast<int>(rules.resolution), new_height, new_width);
  SquarePlace out;
  out.extent = std::max(new_height, new_width) - static_cast<int>(rules.resolution);
  out.offset = out.extent == 0 ? 0 : place_of(rules, out.extent, place);
  return out;
}

io::Image tuning_square(const SquareRules& rules, const io::Image& picture, std::uint32_t place,
                        bool mirrored) {
  const int side = static_cast<int>(rules.resolution);
  const auto resized = rules.crop == TuneCrop::squash ? io::resize(picture, side, side)
                                                      : io::resize_shorter_side(picture, side);
  const int offset = square_place(rules, picture.height, picture.width, place).offset;
  const int top = resized.height > side ? offset : 0, left = resized.width > side ? offset : 0;
  io::Image square(side, side, picture.channels);
  for (int y = 0; y < side; ++y) {
    const auto* from = resized.row(top + y) + static_cast<std::ptrdiff_t>(left) * picture.channels;
    auto* to = square.row(y);
    for (int x = 0; x < side; ++x)
      std::copy_n(from + static_cast<std::ptrdiff_t>(x) * picture.channels, picture.channels,
                  to + static_cast<std::ptrdiff_t>(mirrored ? side - 1 - x : x) * picture.channels);
  }
  return square;
}

PictureLatents::PictureLatents(const DiffusionModel& model, const PictureSource& pictures,
                               const SquareRules& rules, std::uint64_t bytes)
    : model_{model}, pictures_{pictures}, rules_{rules}, bytes_left_{bytes} {}

PictureLatents::Posterior PictureLatents::posterior(std::size_t picture, std::uint32_t place, bool mirrored) {
  const auto key_of = [&](int height, int width) {
    return Key{picture, square_place(rules_, height, width, place).offset, mirrored};
  };
  {
    const std::lock_guard lock{mutex_};
    if (const auto size = sizes_.find(picture); size != sizes_.end()) {
      const auto found = kept_.find(key_of(size->second.first, size->second.second));
      if (found != kept_.end()) return found->second;
    }
  }
  const auto image = pictures_.picture(picture);
  if (image.empty() || image.channels != 3) throw DataError("is no RGB picture", pictures_.name_of(picture));
  if (rules_.crop != TuneCrop::squash &&
      std::max(image.height, image.width) / std::min(image.height, image.width) > most_elongated)
    throw DataError(fmt::format("is {} x {} pixels, too long for a square of its shorter side", image.width,
                                image.height),
                    pictures_.name_of(picture), "Set tune.crop = \"squash\", or leave the picture out.");
  const auto encoded = encode_pictures(model_, {tuning_square(rules_, image, place, mirrored)}, 1);
  const Posterior posterior{encoded.mean[0].to(at::kCPU), encoded.deviation[0].to(at::kCPU)};
  if (!at::isfinite(posterior.mean).all().item<bool>() ||
      !at::isfinite(posterior.deviation).all().item<bool>())
    throw DataError("the autoencoder's latents are not finite", pictures_.name_of(picture),
                    "Set models.vae_precision to \"bf16\" or \"fp32\".");
  const std::lock_guard lock{mutex_};
  ++encoded_;
  sizes_[picture] = {image.height, image.width};
  const auto bytes = static_cast<std::uint64_t>(posterior.mean.nbytes() + posterior.deviation.nbytes());
  if (bytes <= bytes_left_ && kept_.emplace(key_of(image.height, image.width), posterior).second)
    bytes_left_ -= bytes;
  return posterior;
}

std::int64_t PictureLatents::encoded() const {
  const std::lock_guard lock{mutex_};
  return encoded_;
}

std::int64_t PictureLatents::kept() const {
  const std::lock_guard lock{mutex_};
  return static_cast<std::int64_t>(kept_.size());
}

}  // namespace deda::diffusion
