// A folder in diffusers' layout with random weights: what `device_figures make-model` writes.
#pragma once

#include <filesystem>

#include "models/diffusion/autoencoder.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/text/clip_text.h"

namespace deda::figures {

// Of Stable Diffusion 1.5 and LayerDiffuse as published, or the same in small.
struct ModelShape {
  models::UNetConfig unet;
  models::AutoencoderConfig autoencoder;
  models::ClipTextConfig text;  // its vocabulary follows from the tokenizer
  std::vector<std::int64_t> transparent_encoder;
  models::TransparentDecoderConfig transparent_decoder;
};
ModelShape published_shape();
ModelShape tiny_shape();

// `tokenizer`: a folder to copy; empty: a tokenizer of the prompt templates' words is made. Weights in fp16,
// drawn on `device`.
void write_model_folder(const std::filesystem::path& folder, const ModelShape& shape, at::Device device,
                        const std::filesystem::path& tokenizer = {});

}  // namespace deda::figures
