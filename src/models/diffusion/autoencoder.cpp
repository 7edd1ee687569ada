#include "models/diffusion/autoencoder.h"

#include <array>
#include <utility>

namespace deda::models {
namespace {

constexpr double norm_epsilon = 1e-6;
constexpr std::int64_t one_head = 1;

class LevelBlock : public torch::nn::Module {
 public:
  LevelBlock(std::int64_t in, std::int64_t out, std::int64_t layers, std::int64_t groups) {
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (std::int64_t i = 0; i < layers; ++i) resnets_->add(i == 0 ? in : out, out, 0, groups, norm_epsilon);
  }
  void add_downsampler(std::int64_t channels) {
    down_ = register_module("downsamplers", std::make_shared<List<Downsample>>());
    down_->add(channels, DownPadding::right_and_bottom);
  }
  void add_upsampler(std::int64_t channels) {
    up_ = register_module("upsamplers", std::make_shared<List<Upsample>>());
    up_->add(channels);
  }
  at::Tensor forward(at::Tensor x) const {
    for (const auto& resnet : *resnets_) x = resnet->forward(x);
    if (down_) x = (*down_)[0].forward(x);
    if (up_) x = (*up_)[0].forward(x);
    return x;
  }

 private:
  std::shared_ptr<List<ResnetBlock>> resnets_;
  std::shared_ptr<List<Downsample>> down_;
  std::shared_ptr<List<Upsample>> up_;
};

class MiddleBlock : public torch::nn::Module {
 public:
  MiddleBlock(std::int64_t width, std::int64_t groups) {
    attentions_ = register_module("attentions", std::make_shared<List<SpatialAttention>>());
    attentions_->add(width, one_head, groups, norm_epsilon);
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (int i = 0; i < 2; ++i) resnets_->add(width, width, 0, groups, norm_epsilon);
  }
  at::Tensor forward(const at::Tensor& x) const {
    return (*resnets_)[1].forward((*attentions_)[0].forward((*resnets_)[0].forward(x)));
  }

 private:
  std::shared_ptr<List<SpatialAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock>> resnets_;
};

}  // namespace

class Autoencoder::Encoder : public torch::nn::Module {
 public:
  explicit Encoder(const AutoencoderConfig& config) {
    const auto& widths = config.block_out_channels;
    conv_in_ = register_module("conv_in",
                               std::make_shared<Convolution>(config.in_channels, widths.front(), 3, 1, 1));
    blocks_ = register_module("down_blocks", std::make_shared<List<LevelBlock>>());
    for (std::size_t level = 0; level < widths.size(); ++level) {
      auto block = blocks_->add(widths[level == 0 ? 0 : level - 1], widths[level], config.layers_per_block,
                                config.norm_groups);
      if (level + 1 < widths.size()) block->add_downsampler(widths[level]);
    }
    mid_ = register_module("mid_block", std::make_shared<MiddleBlock>(widths.back(), config.norm_groups));
    norm_ = register_module("conv_norm_out",
                            std::make_shared<GroupNorm>(config.norm_groups, widths.back(), norm_epsilon));
    conv_out_ = register_module(
        "conv_out", std::make_shared<Convolution>(widths.back(), 2 * config.latent_channels, 3, 1, 1));
  }
  at::Tensor forward(at::Tensor x) const {
    x = conv_in_->forward(x);
    for (const auto& block : *blocks_) x = block->forward(x);
    return conv_out_->forward(at::silu(norm_->forward(mid_->forward(x))));
  }

 private:
  std::shared_ptr<Convolution> conv_in_, conv_out_;
  std::shared_ptr<List<LevelBlock>> blocks_;
  std::shared_ptr<MiddleBlock> mid_;
  std::shared_ptr<GroupNorm> norm_;
};

class Autoencoder::Decoder : public torch::nn::Module {
 public:
  explicit Decoder(const AutoencoderConfig& config) {
    const auto& widths = config.block_out_channels;
    conv_in_ = register_module("conv_in",
                               std::make_shared<Convolution>(config.latent_channels, widths.back(), 3, 1, 1));
    mid_ = register_module("mid_block", std::make_shared<MiddleBlock>(widths.back(), config.norm_groups));
    blocks_ = register_module("up_blocks", std::make_shared<List<LevelBlock>>());
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::size_t level = widths.size() - 1 - i;
      auto block = blocks_->add(i == 0 ? widths.back() : widths[level + 1], widths[level],
                                config.layers_per_block + 1, config.norm_groups);
      if (level > 0) block->add_upsampler(widths[level]);
    }
    norm_ = register_module("conv_norm_out",
                            std::make_shared<GroupNorm>(config.norm_groups, widths.front(), norm_epsilon));
    conv_out_ = register_module("conv_out",
                                std::make_shared<Convolution>(widths.front(), config.out_channels, 3, 1, 1));
  }
  at::Tensor forward(at::Tensor x) const {
    x = mid_->forward(conv_in_->forward(x));
    for (const auto& block : *blocks_) x = block->forward(x);
    return conv_out_->forward(at::silu(norm_->forward(x)));
  }

 private:
  std::shared_ptr<Convolution> conv_in_, conv_out_;
  std::shared_ptr<MiddleBlock> mid_;
  std::shared_ptr<List<LevelBlock>> blocks_;
  std::shared_ptr<GroupNorm> norm_;
};

Autoencoder::Autoencoder(const AutoencoderConfig& config) : config_{config} {
  encoder_ = register_module("encoder", std::make_shared<Encoder>(config));
  decoder_ = register_module("decoder", std::make_shared<Decoder>(config));
  const auto latent = config.latent_channels;
  quant_conv_ = register_module("quant_conv", std::make_shared<Convolution>(2 * latent, 2 * latent, 1));
  post_quant_conv_ = register_module("post_quant_conv", std::make_shared<Convolution>(latent, latent, 1));
}

Autoencoder::~Autoencoder() = default;

Autoencoder::Posterior Autoencoder::encode(const at::Tensor& pictures) const {
  constexpr double least_logvar = -30.0, most_logvar = 20.0;
  const auto halves = quant_conv_->forward(encoder_->forward(pictures)).chunk(2, 1);
  return {halves[0], halves[1].clamp(least_logvar, most_logvar)};
}

at::Tensor Autoencoder::decode(const at::Tensor& latents) const {
  return decoder_->forward(post_quant_conv_->forward(latents));
}

std::string current_autoencoder_name(const std::string& name) {
  static const std::array<std::pair<const char*, const char*>, 4> renamed{
      {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}}};
  for (const auto& [old_part, new_part] : renamed) {
    if (const auto at = name.find(old_part); at != std::string::npos)
      return name.substr(0, at) + new_part + name.substr(at + std::string(old_part).size());
  }
  return name;
}

}  // namespace deda::models
