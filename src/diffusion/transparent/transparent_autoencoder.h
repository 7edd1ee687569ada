// RGBA pictures <-> the latents that the UNet works on (LayerDiffuse): encode adds the offset that carries
// alpha, decode reads alpha and colour out again. Source: LayerDiffuse_DiffusersCLI, lib_layerdiffuse/vae.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/config.h"
#include "diffusion/model.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct EncodedCdps {
  at::Tensor padded_rgb;               // [B, 3, R, R] 0..1
  at::Tensor feed;                     // [B, 3, R, R] what the autoencoder saw
  at::Tensor offset, mean, deviation;  // [B, 4, r, r]; offset with its gain
  at::Tensor latents;                  // (mean + deviation * offset) * scaling factor
};
// float32; padded_rgb and feed on the CPU, the rest on the model's device. `offset_gain` 0: the picture on
// grey alone.
EncodedCdps encode_cdps(const DiffusionModel& model, const std::vector<io::Image>& rgba, double offset_gain);

struct DecodeChoice {
  bool scaled_latent = false;  // the transparent decoder sees the latent as the UNet made it
  DecoderPixel pixel = DecoderPixel::clipped;
  std::int64_t votes = 8;
};
struct DecodedCdps {
  at::Tensor image;          // [B, 3, R, R] of the autoencoder, -1..1, not clamped
  at::Tensor pixel, latent;  // what the transparent decoder saw
  at::Tensor argb;           // [B, 4, R, R] alpha, R, G, B in 0..1
};
// `latents` scaled, [B, 4, r, r]. float32 on the model's device.
DecodedCdps decode_cdps(const DiffusionModel& model, const at::Tensor& latents, const DecodeChoice& choice);

}  // namespace deda::diffusion
