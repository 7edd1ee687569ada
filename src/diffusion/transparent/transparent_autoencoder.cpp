#include "diffusion/transparent/transparent_autoencoder.h"

#include <ATen/ATen.h>

#include "device/upload.h"
#include "diffusion/transparent/transparent_pixels.h"

namespace deda::diffusion {
EncodedCdps encode_cdps(const DiffusionModel& model, const std::vector<io::Image>& rgba, double offset_gain) {
  torch::NoGradGuard no_gradients;
  const auto pixels = transparent_pixels(rgba);
  EncodedCdps out;
  out.padded_rgb = pixels.argb.slice(1, 1);
  out.feed = pixels.feed;
  const auto posterior =
      model.autoencoder->encode(device::upload(pixels.feed, model.device).to(model.vae_dtype));
  out.mean = posterior.mean.to(at::kFloat);
  out.deviation = posterior.deviation().to(at::kFloat);
  out.offset =
      offset_gain == 0
          ? at::zeros_like(out.mean)
          : model.transparent_encoder->forward(device::upload(pixels.argb, model.device).to(model.vae_dtype))
                    .to(at::kFloat) *
                offset_gain;
  out.latents = (out.mean + out.deviation * out.offset) * model.autoencoder->config().scaling_factor;
  return out;
}

DecodedCdps decode_cdps(const DiffusionModel& model, const at::Tensor& latents, const DecodeChoice& choice) {
  torch::NoGradGuard no_gradients;
  const auto scaled = device::upload(latents.to(at::kFloat), model.device);
  const auto unscaled = (scaled / model.autoencoder->config().scaling_factor).to(model.vae_dtype);
  DecodedCdps out;
  const auto image = model.autoencoder->decode(unscaled);
  auto pixel = image.to(at::kFloat) * 0.5 + 0.5;
  if (choice.pixel != DecoderPixel::raw) pixel = pixel.clamp(0, 1);
  if (choice.pixel == DecoderPixel::eight_bit) pixel = (pixel * 255).round() / 255;
  pixel = pixel.to(model.vae_dtype);
  const auto latent = choice.scaled_latent ? scaled.to(model.vae_dtype) : unscaled;
  const auto network = [&](const at::Tensor& p, const at::Tensor& l) {
    return model.transparent_decoder->forward(p, l);
  };
  out.argb = (choice.votes == 1 ? network(pixel, latent).clamp(0, 1)
                                : models::decode_by_votes(network, pixel, latent))
                 .to(at::kFloat);
  out.image = image.to(at::kFloat);
  out.pixel = pixel.to(at::kFloat);
  out.latent = latent.to(at::kFloat);
  return out;
}

}  // namespace deda::diffusion
