// AutoencoderKL of Stable Diffusion under diffusers' names: pictures [B, 3, H, W] in -1..1 <-> latents
// [B, 4, H/8, W/8]. Source: diffusers models/autoencoders/autoencoder_kl.py, vae.py.
#pragma once

#include "models/diffusion/autoencoder_config.h"
#include "models/diffusion/blocks.h"
#include "models/weights/weight_files.h"

namespace deda::models {

class Autoencoder : public torch::nn::Module {
 public:
  explicit Autoencoder(const AutoencoderConfig& config);
  ~Autoencoder() override;
  struct Posterior {
    at::Tensor mean, logvar;  // logvar clamped to -30..20
    at::Tensor deviation() const { return (0.5 * logvar).exp(); }
  };
  // H and W multiples of factor(). Latents here are unscaled (before scaling_factor).
  Posterior encode(const at::Tensor& pictures) const;
  at::Tensor decode(const at::Tensor& latents) const;  // not clamped
  const AutoencoderConfig& config() const { return config_; }

 private:
  class Encoder;
  class Decoder;
  AutoencoderConfig config_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Decoder> decoder_;
  std::shared_ptr<Convolution> quant_conv_, post_quant_conv_;
};

// Attention names of old files (query, key, value, proj_attn) to today's.
std::string current_autoencoder_name(const std::string& name);

}  // namespace deda::models
