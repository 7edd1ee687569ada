#include "diffusion/inversion/latent_cache.h"

#include <ATen/ATen.h>

#include "diffusion/sampling/noise.h"

namespace deda::diffusion {

LatentCache::LatentCache(const DiffusionModel& model, const LatentSource& source, bool with_mirrored,
                         std::uint64_t bytes)
    : model_{model}, source_{source}, with_mirrored_{with_mirrored}, bytes_left_{bytes} {}

at::Tensor LatentCache::pair_of(std::size_t item) {
  if (const auto found = kept_.find(item); found != kept_.end()) return found->second;
  const auto pair = source_.encode(model_, item, with_mirrored_);
  ++encoded_;
  if (const auto bytes = static_cast<std::uint64_t>(pair.nbytes()); bytes <= bytes_left_) {
    bytes_left_ -= bytes;
    kept_.emplace(item, pair);
  }
  return pair;
}

at::Tensor LatentCache::latents(std::size_t item, bool mirrored, const std::optional<RandomStream>& stream) {
  const auto latents = pair_of(item)[mirrored ? 1 : 0];
  const auto& config = model_.autoencoder->config();
  if (latents.size(0) == config.latent_channels) return latents;
  const auto halves = latents.chunk(2);
  const auto drawn = stream ? halves[0] + halves[1] * normal_tensor(halves[0].sizes(), *stream) : halves[0];
  return drawn * config.scaling_factor;
}

}  // namespace deda::diffusion
