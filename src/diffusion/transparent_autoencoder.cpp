#include "diffusion/transparent_autoencoder.h"

#include <ATen/ATen.h>

#include "diffusion/transparent_pixels.h"

namespace deda::diffusion {
namespace {

at::Tensor to_host(const at::Tensor& x) {
  return x.to(at::kCPU, at::kFloat);
}

}  // namespace

EncodedCdps encode_cdps(const DiffusionModel& model, const std::vector<io::Image>& rgba, double offset_gain) {
  torch::NoGradGuard no_gradients;
  const auto pixels = transparent_pixels(rgba);
  EncodedCdps out;
  out.padded_rgb = pixels.argb.slice(1, 1);
  out.feed = pixels.feed;
  const auto posterior = model.autoencoder->encode(pixels.feed.to(model.device, model.vae_dtype));
  out.mean = to_host(posterior.mean);
  out.deviation = to_host(posterior.deviation());
  out.offset =
      offset_gain == 0
          ? at::zeros_like(out.mean)
          : to_host(model.transparent_encoder->forward(pixels.argb.to(model.device, model.vae_dtype))) *
                offset_gain;
  out.latents = (out.mean + out.deviation * out.offset) * model.autoencoder->config().scaling_factor;
  return out;
}

DecodedCdps decode_cdps(const DiffusionModel& model, const at::Tensor& latents, const DecodeChoice& choice) {
  torch::NoGradGuard no_gradients;
  const auto unscaled =
      (latents.to(at::kFloat) / model.autoencoder->config().scaling_factor).to(model.device, model.vae_dtype);
  DecodedCdps out;
  const auto image = model.autoencoder->decode(unscaled);
  auto pixel = image.to(at::kFloat) * 0.5 + 0.5;
  if (choice.pixel != DecoderPixel::raw) pixel = pixel.clamp(0, 1);
  if (choice.pixel == DecoderPixel::eight_bit) pixel = (pixel * 255).round() / 255;
  pixel = pixel.to(model.vae_dtype);
  const auto latent = choice.scaled_latent ? latents.to(model.device, model.vae_dtype) : unscaled;
  const auto network = [&](const at::Tensor& p, const at::Tensor& l) {
    return model.transparent_decoder->forward(p, l);
  };
  out.argb = to_host(choice.votes == 1 ? network(pixel, latent).clamp(0, 1)
                                       : models::decode_by_votes(network, pixel, latent));
  out.image = to_host(image);
  out.pixel = to_host(pixel);
  out.latent = to_host(latent);
  return out;
}

}  // namespace deda::diffusion
