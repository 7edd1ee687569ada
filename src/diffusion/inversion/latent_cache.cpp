#include "diffusion/inversion/latent_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "diffusion/transparent/transparent_autoencoder.h"

namespace deda::diffusion {
namespace {

io::Image mirrored_picture(const io::Image& image) {
  io::Image out(image.height, image.width, image.channels);
  for (int y = 0; y < image.height; ++y) {
    const auto* from = image.row(y);
    auto* to = out.row(y);
    for (int x = 0; x < image.width; ++x)
      std::copy_n(from + static_cast<std::ptrdiff_t>(x) * image.channels, image.channels,
                  to + static_cast<std::ptrdiff_t>(image.width - 1 - x) * image.channels);
  }
  return out;
}

}  // namespace

LatentCache::LatentCache(const DiffusionModel& model, const CdpSource& cdps, double offset_gain,
                         bool with_mirrored, std::uint64_t bytes)
    : model_{model},
      cdps_{cdps},
      offset_gain_{offset_gain},
      with_mirrored_{with_mirrored},
      bytes_left_{bytes} {}

at::Tensor LatentCache::encode(std::size_t cdp) const {
  std::vector<io::Image> pictures{cdps_.framed(cdp).rgba};
  if (with_mirrored_) pictures.push_back(mirrored_picture(pictures.front()));
  auto latents = encode_cdps(model_, pictures, offset_gain_).latents.to(at::kCPU);
  if (!at::isfinite(latents).all().item<bool>())
    throw DataError("the autoencoder's latents are not finite", cdps_.source(cdp),
                    "Set models.vae_precision to \"bf16\" or \"fp32\".");
  return latents;
}

at::Tensor LatentCache::latents(std::size_t cdp, bool mirrored) {
  const std::int64_t which = mirrored ? 1 : 0;
  if (const auto found = kept_.find(cdp); found != kept_.end()) return found->second[which];
  const auto pair = encode(cdp);
  ++encoded_;
  if (const auto bytes = static_cast<std::uint64_t>(pair.nbytes()); bytes <= bytes_left_) {
    bytes_left_ -= bytes;
    kept_.emplace(cdp, pair);
  }
  return pair[which];
}

}  // namespace deda::diffusion
