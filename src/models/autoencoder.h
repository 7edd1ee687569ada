// AutoencoderKL of Stable Diffusion under diffusers' names: pictures [B, 3, H, W] in -1..1 <-> latents
// [B, 4, H/8, W/8]. Source: diffusers models/autoencoders/autoencoder_kl.py, vae.py.
#pragma once

#include <filesystem>

#include "models/diffusion_blocks.h"
#include "models/weight_files.h"

namespace deda::models {

struct AutoencoderConfig {
  std::int64_t in_channels = 3, out_channels = 3, latent_channels = 4;
  std::vector<std::int64_t> block_out_channels{128, 256, 512, 512};
  std::int64_t layers_per_block = 2;
  std::int64_t norm_groups = 32;
  double scaling_factor = 0.18215;  // of the latents that the UNet sees; absent in old files
  bool force_upcast = false;        // overflows in fp16 (SDXL)
  // Pixels of one latent along a side.
  std::int64_t factor() const { return std::int64_t{1} << (block_out_channels.size() - 1); }
};

AutoencoderConfig read_autoencoder_config(const std::filesystem::path& file);  // DataError lists all problems
std::string to_json(const AutoencoderConfig& config);

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
