// LayerDiffuse's two small networks around the autoencoder: the encoder whose output shifts a latent so that
// it carries alpha, and the decoder "UNet1024" that reads alpha and colour out again. Tensor names and shapes
// as in the published files; widths and depths follow from the file. Source: LayerDiffuse_DiffusersCLI,
// lib_layerdiffuse/vae.py.
#pragma once

#include <filesystem>

#include "models/diffusion/blocks.h"
#include "models/weights/weight_files.h"

namespace deda::models {

// blocks.0, blocks.2, ...: 3x3 convolutions with SiLU between, none after the last. Every second one from the
// third halves the size; the last does not.
class TransparentEncoder : public torch::nn::Module {
 public:
  // Widths per level (32, 64, 128, 256): 2 * levels + 1 convolutions, size / 2^(levels - 1).
  TransparentEncoder(const std::vector<std::int64_t>& widths, std::int64_t latent_channels);
  // [B, 4, H, W]: alpha, R, G, B in 0..1, colours padded under transparency -> offset [B, 4, H/8, W/8].
  at::Tensor forward(const at::Tensor& argb) const;
  std::int64_t factor() const { return std::int64_t{1} << (widths_.size() - 1); }

 private:
  std::vector<std::int64_t> widths_;
  std::shared_ptr<torch::nn::Module> blocks_;
  std::vector<std::shared_ptr<Convolution>> convolutions_;
};
const std::vector<std::int64_t>& published_transparent_encoder_widths();

struct TransparentDecoderConfig {
  std::vector<std::int64_t> widths{32, 32, 64, 128, 256, 512, 512};  // per level, sizes H, H/2, ...
  std::size_t first_attention = 4;                                   // levels from here on have attention
  std::int64_t latent_channels = 4;
  std::size_t latent_level = 3;  // the latent enters before this level: 2^level pixels per latent
  std::int64_t groups = 4, head_width = 8, layers = 2;
};

class TransparentDecoder : public torch::nn::Module {
 public:
  explicit TransparentDecoder(const TransparentDecoderConfig& config = {});
  ~TransparentDecoder() override;
  // pixel [B, 3, H, W] in 0..1, latent [B, 4, H/8, W/8] -> [B, 4, H, W]: alpha, R, G, B (straight), raw. H
  // and W multiples of size_multiple().
  at::Tensor forward(const at::Tensor& pixel, const at::Tensor& latent) const;
  std::int64_t size_multiple() const { return std::int64_t{1} << (config_.widths.size() - 1); }
  const TransparentDecoderConfig& config() const { return config_; }

 private:
  class DownBlock;
  class MidBlock;
  class UpBlock;
  TransparentDecoderConfig config_;
  std::shared_ptr<Convolution> conv_in_, latent_conv_in_, conv_out_;
  std::shared_ptr<List<DownBlock>> down_blocks_;
  std::shared_ptr<MidBlock> mid_block_;
  std::shared_ptr<List<UpBlock>> up_blocks_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

// The network over the eight orientations of a square, clipped to 0..1, elementwise lower median (the 4th
// smallest, as torch.median takes it). `single` networks: anything that maps (pixel, latent) to [B, 4, H, W].
using TransparentDecoding = std::function<at::Tensor(const at::Tensor& pixel, const at::Tensor& latent)>;
at::Tensor decode_by_votes(const TransparentDecoding& network, const at::Tensor& pixel,
                           const at::Tensor& latent);

// Networks of the shapes that the files hold, filled from them. DataError lists all misfits.
std::shared_ptr<TransparentEncoder> load_transparent_encoder(const std::filesystem::path& file,
                                                             at::ScalarType dtype = at::kFloat);
// `pixels_per_latent`: of the autoencoder it goes with.
std::shared_ptr<TransparentDecoder> load_transparent_decoder(const std::filesystem::path& file,
                                                             std::int64_t pixels_per_latent,
                                                             at::ScalarType dtype = at::kFloat);

}  // namespace deda::models
