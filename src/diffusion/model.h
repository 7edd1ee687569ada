// A whole diffusion model in memory: tokenizers, text encoders, UNet (with LayerDiffuse's weights merged),
// autoencoder and transparent networks, as the configuration's [models] names them. Stable Diffusion 1.5,
// SDXL or the toy model. Frozen; safe to use from many threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "comm/c10d/cuda_plugin.h"
#include "diffusion/config.h"
#include "diffusion/model_files.h"
#include "diffusion/sampling/noise_schedule.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/text/clip_text.h"
#include "models/text/clip_tokenizer.h"

namespace deda::diffusion {

// Text as the UNet takes it. float32.
struct TextCondition {
  at::Tensor states;  // [n, tokens, D]
  at::Tensor pooled;  // [n, P]; SDXL only
};

class DiffusionModel {
 public:
  // Everything is opened and checked first: one DataError lists what is missing, misshapen, not finite in the
  // chosen precision, or made for another model, over all parts.
  DiffusionModel(const ModelsConfig& config, at::Device device, UNetWeights weights = UNetWeights::merged,
                 LatentCodec codec = LatentCodec::transparent);

  bool is_sdxl() const { return text_encoders.size() > 1; }
  at::Device device;
  const comm::CudaPlugin* plugin = nullptr;  // of the GPU; null on the CPU
  bool captured_graphs = false;              // as configured
  at::ScalarType unet_dtype, vae_dtype;
  // One of each for SD1.5, two for SDXL.
  std::vector<models::ClipTokenizer> tokenizers;
  std::vector<std::shared_ptr<models::ClipText>> text_encoders;
  std::shared_ptr<models::UNet> unet;
  std::shared_ptr<models::Autoencoder> autoencoder;
  // Null with LatentCodec::plain.
  std::shared_ptr<models::TransparentEncoder> transparent_encoder;
  std::shared_ptr<models::TransparentDecoder> transparent_decoder;
  NoiseScheduleConfig schedule;
  bool zeros_for_empty_prompt = false;  // SDXL: no negative prompt means zeros, not the encoding of ""
  std::string identity;                 // model_identity() of its configuration
  std::vector<std::string> lines;       // for the log: what was loaded

  std::int64_t factor() const { return autoencoder->config().factor(); }
  // Pixels a side must be a multiple of this (as resolution_multiple tells from the files).
  std::int64_t size_multiple() const;
  // Whether the UNet takes a picture's latents beside the sample (InstructPix2Pix).
  bool sees_pictures() const {
    return unet->config().in_channels == 2 * autoencoder->config().latent_channels;
  }
  std::int64_t default_resolution() const { return unet->config().sample_size * factor(); }

  // Ids of a batch of prompts for every encoder; `tokenizers` may have more tokens than the model's own.
  std::vector<at::Tensor> ids_of(const std::vector<models::ClipTokenizer>& with,
                                 const std::vector<std::string>& prompts) const;
  // `rows`: per encoder the rows of the added tokens (or nothing); gradients flow to them.
  TextCondition encode_text(const std::vector<at::Tensor>& ids,
                            const std::vector<at::Tensor>& rows = {}) const;
  // The condition that guidance leads away from.
  TextCondition unconditional(const std::string& negative_prompt) const;
  // SDXL's further conditions for `batch` rows: pooled texts and sizes; nothing for SD1.5.
  models::UNet::Added added_conditions(const at::Tensor& pooled, std::int64_t resolution) const;
};

// Which float32 products of the whole process may be rounded to TF32 on a GPU, as the configuration's
// precisions say: to be called before the model is used. Nothing for the CPU.
void allow_tf32(const ModelsConfig& config, at::Device device);

}  // namespace deda::diffusion
