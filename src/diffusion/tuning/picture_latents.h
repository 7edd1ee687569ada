// Whole pictures as the autoencoder sees them in tuning: cut to a square, perhaps mirrored, encoded; what was
// encoded is kept while there is room, so that a later step needs no autoencoder. The posterior is kept, not
// a sample of it: every step draws its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <tuple>

#include "diffusion/model.h"
#include "diffusion/tuning/config.h"
#include "diffusion/tuning/picture_source.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct SquareRules {
  std::int64_t resolution = 224;
  TuneCrop crop = TuneCrop::random;
  std::int64_t crop_positions = 0;  // of a random square; 0: every pixel
};

// Pixels that a square of this picture (height, width) may be moved by after its shorter side was brought to
// the resolution, by how much it is for `place` (a share of 2^32). Both 0 for square pictures and for squash.
struct SquarePlace {
  int extent = 0, offset = 0;
};
SquarePlace square_place(const SquareRules& rules, int height, int width, std::uint32_t place);
// [resolution, resolution, 3]: resized as Pillow does (bilinear), cut, mirrored. Source: torchvision's
// Resize, RandomCrop and CenterCrop as Diff-Mix's datasets use them.
io::Image tuning_square(const SquareRules& rules, const io::Image& picture, std::uint32_t place,
                        bool mirrored);

// Safe from many threads.
class PictureLatents {
 public:
  // Keeps at most `bytes`.
  PictureLatents(const DiffusionModel& model, const PictureSource& pictures, const SquareRules& rules,
                 std::uint64_t bytes);

  struct Posterior {
    at::Tensor mean, deviation;  // [4, r, r] float32 on the CPU, unscaled
  };
  // Every picture is encoded alone, so that numbers do not depend on what was kept. DataError naming the
  // picture when it cannot be read or its latents are not finite.
  Posterior posterior(std::size_t picture, std::uint32_t place, bool mirrored);
  std::int64_t encoded() const;  // so far
  std::int64_t kept() const;

 private:
  using Key = std::tuple<std::size_t, int, bool>;  // picture, offset, mirrored
  const DiffusionModel& model_;
  const PictureSource& pictures_;
  const SquareRules rules_;
  mutable std::mutex mutex_;
  std::uint64_t bytes_left_;
  std::int64_t encoded_ = 0;
  std::map<std::size_t, std::pair<int, int>> sizes_;  // height, width of pictures that were opened
  std::map<Key, Posterior> kept_;
};

}  // namespace deda::diffusion
