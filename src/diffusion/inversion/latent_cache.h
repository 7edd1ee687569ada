// Latents of real CDPs, encoded once: with them a step of textual inversion needs no autoencoder. The latent
// of a mirrored picture is encoded from the mirrored picture, because autoencoders do not commute with flips.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>

#include "diffusion/cdp_source.h"
#include "diffusion/model.h"

namespace deda::diffusion {

// Not for several threads at once: each has its own.
class LatentCache {
 public:
  // `offset_gain` of the latent offset that carries alpha (encode_cdps); 0: the picture on grey alone. Keeps
  // at most `bytes` of latents: what comes after that is encoded anew whenever it is asked for. A picture and
  // its mirror image are always encoded together and with no other, so that the latents do not depend on what
  // was kept. `with_mirrored`: mirrored latents will be asked for.
  LatentCache(const DiffusionModel& model, const CdpSource& cdps, double offset_gain, bool with_mirrored,
              std::uint64_t bytes);

  // [4, r, r] float32 on the CPU, scaled. DataError naming the picture when nothing of it is opaque, or when
  // the latents are not finite.
  at::Tensor latents(std::size_t cdp, bool mirrored);
  std::int64_t encoded() const { return encoded_; }  // pictures (mirrored ones not counted) so far

 private:
  at::Tensor encode(std::size_t cdp) const;  // [1 or 2, 4, r, r]

  const DiffusionModel& model_;
  const CdpSource& cdps_;
  double offset_gain_;
  bool with_mirrored_;
  std::uint64_t bytes_left_;
  std::int64_t encoded_ = 0;
  std::map<std::size_t, at::Tensor> kept_;
};

}  // namespace deda::diffusion
