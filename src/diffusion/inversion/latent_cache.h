// Latents of a source's pictures, encoded once: with them a step of textual inversion needs no autoencoder.
// The latent of a mirrored picture is encoded from the mirrored picture, because autoencoders do not commute
// with flips.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>

#include "core/random.h"
#include "diffusion/inversion/latent_source.h"

namespace deda::diffusion {

// Not for several threads at once: each has its own.
class LatentCache {
 public:
  // Keeps at most `bytes` of latents: what comes after that is encoded anew whenever it is asked for. A
  // picture and its mirror image are always encoded together and with no other, so that the latents do not
  // depend on what was kept. `with_mirrored`: mirrored latents will be asked for.
  LatentCache(const DiffusionModel& model, const LatentSource& source, bool with_mirrored,
              std::uint64_t bytes);

  // [4, r, r] float32 on the CPU, scaled. Of a source with posteriors: drawn with the noise of `stream`, or
  // their mean where there is none. DataError naming the picture when it cannot be encoded.
  at::Tensor latents(std::size_t item, bool mirrored, const std::optional<RandomStream>& stream = {});
  std::int64_t encoded() const { return encoded_; }  // pictures (mirrored ones not counted) so far

 private:
  at::Tensor pair_of(std::size_t item);

  const DiffusionModel& model_;
  const LatentSource& source_;
  bool with_mirrored_;
  std::uint64_t bytes_left_;
  std::int64_t encoded_ = 0;
  std::map<std::size_t, at::Tensor> kept_;
};

}  // namespace deda::diffusion
