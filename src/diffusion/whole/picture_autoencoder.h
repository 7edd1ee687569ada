// Whole RGB pictures <-> the latents that the UNet works on, by the autoencoder alone: img2img samples the
// posterior and scales it, InstructPix2Pix sees its mode unscaled. Source: diffusers 0.42, image_processor.py
// (VaeImageProcessor) and prepare_latents of the img2img and InstructPix2Pix pipelines.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "diffusion/model.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct EncodedPictures {
  at::Tensor feed;             // [B, 3, H, W] what the autoencoder saw: 2 x / 255 - 1; on the CPU
  at::Tensor mean, deviation;  // [B, 4, H/8, W/8] of the posterior, unscaled; float32 on the model's device
};
// RGB pictures of one size, sides multiples of the model's factor; `at_once` of them in one pass.
EncodedPictures encode_pictures(const DiffusionModel& model, const std::vector<io::Image>& pictures,
                                std::int64_t at_once);

// What img2img starts from: (mean + deviation * noise) * scaling factor, [N, 4, h, w] on the model's device;
// row i of picture pictures[i] under row i of `noise` (posterior_noise, float32 on the CPU).
at::Tensor sampled_latents(const DiffusionModel& model, const EncodedPictures& encoded,
                           const std::vector<std::int64_t>& pictures, const at::Tensor& noise);

// `latents` [B, 4, h, w], scaled -> [B, 3, H, W] around -1..1, not clamped; float32 on the model's device.
at::Tensor decode_pictures(const DiffusionModel& model, const at::Tensor& latents, std::int64_t at_once);
// As 8 bits: x / 2 + 1/2 within 0..1, times 255, rounded half to even (LayerDiffuse's program cuts off
// instead, rgba_pictures). `decoded` must be finite.
std::vector<io::Image> rgb_pictures(const at::Tensor& decoded);

}  // namespace deda::diffusion
