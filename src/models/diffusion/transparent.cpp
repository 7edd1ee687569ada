#include "models/diffusion/transparent.h"

#include <algorithm>
#include <bit>

namespace deda::models {
namespace {

constexpr double transparent_norm_epsilon = 1e-5;
constexpr std::size_t most_levels = 12;  // of a file that is believed

}  // namespace

const std::vector<std::int64_t>& published_transparent_encoder_widths() {
  static const std::vector<std::int64_t> widths{32, 64, 128, 256};
  return widths;
}

TransparentEncoder::TransparentEncoder(const std::vector<std::int64_t>& widths, std::int64_t latent_channels)
    : widths_{widths} {
  constexpr std::int64_t colours_and_alpha = 4;
  blocks_ = std::make_shared<torch::nn::Module>("blocks");
  const auto add = [&](std::int64_t in, std::int64_t out, std::int64_t stride) {
    const auto name = std::to_string(2 * convolutions_.size());  // odd numbers are the SiLUs
    convolutions_.push_back(
        blocks_->register_module(name, std::make_shared<Convolution>(in, out, 3, stride, 1)));
  };
  std::int64_t in = colours_and_alpha;
  for (std::size_t level = 0; level < widths.size(); ++level) {
    add(in, widths[level], level == 0 ? 1 : 2);
    add(widths[level], widths[level], 1);
    in = widths[level];
  }
  add(in, latent_channels, 1);
  register_module("blocks", blocks_);
}

at::Tensor TransparentEncoder::forward(const at::Tensor& argb) const {
  auto x = argb;
  for (std::size_t i = 0; i < convolutions_.size(); ++i) {
    if (i > 0) x = at::silu(x);
    x = convolutions_[i]->forward(x);
  }
  return x;
}

class TransparentDecoder::DownBlock : public torch::nn::Module {
 public:
  DownBlock(const TransparentDecoderConfig& config, std::size_t level) {
    const auto out = config.widths[level];
    auto in = config.widths[level == 0 ? 0 : level - 1];
    if (level >= config.first_attention)
      attentions_ = register_module("attentions", std::make_shared<List<SpatialAttention>>());
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (std::int64_t i = 0; i < config.layers; ++i) {
      resnets_->add(in, out, 0, config.groups, transparent_norm_epsilon);
      if (attentions_)
        attentions_->add(out, out / config.head_width, config.groups, transparent_norm_epsilon);
      in = out;
    }
    if (level + 1 < config.widths.size()) {
      downsamplers_ = register_module("downsamplers", std::make_shared<List<Downsample>>());
      downsamplers_->add(out, DownPadding::around);
    }
  }
  at::Tensor forward(at::Tensor x, std::vector<at::Tensor>& skips) const {
    for (std::size_t i = 0; i < resnets_->size(); ++i) {
      x = (*resnets_)[i].forward(x);
      if (attentions_) x = (*attentions_)[i].forward(x);
      skips.push_back(x);
    }
    if (downsamplers_) {
      x = (*downsamplers_)[0].forward(x);
      skips.push_back(x);
    }
    return x;
  }

 private:
  std::shared_ptr<List<SpatialAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock>> resnets_;
  std::shared_ptr<List<Downsample>> downsamplers_;
};

class TransparentDecoder::MidBlock : public torch::nn::Module {
 public:
  explicit MidBlock(const TransparentDecoderConfig& config) {
    const auto width = config.widths.back();
    attentions_ = register_module("attentions", std::make_shared<List<SpatialAttention>>());
    attentions_->add(width, width / config.head_width, config.groups, transparent_norm_epsilon);
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (int i = 0; i < 2; ++i) resnets_->add(width, width, 0, config.groups, transparent_norm_epsilon);
  }
  at::Tensor forward(const at::Tensor& x) const {
    return (*resnets_)[1].forward((*attentions_)[0].forward((*resnets_)[0].forward(x)));
  }

 private:
  std::shared_ptr<List<SpatialAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock>> resnets_;
};

class TransparentDecoder::UpBlock : public torch::nn::Module {
 public:
  UpBlock(const TransparentDecoderConfig& config, std::size_t from_coarsest) {
    const std::size_t levels = config.widths.size(), level = levels - 1 - from_coarsest;
    const auto out = config.widths[level];
    const auto previous = from_coarsest == 0 ? config.widths.back() : config.widths[level + 1];
    const auto last_skip = config.widths[level == 0 ? 0 : level - 1];
    if (level >= config.first_attention)
      attentions_ = register_module("attentions", std::make_shared<List<SpatialAttention>>());
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (std::int64_t i = 0; i <= config.layers; ++i) {
      resnets_->add((i == 0 ? previous : out) + (i == config.layers ? last_skip : out), out, 0, config.groups,
                    transparent_norm_epsilon);
      if (attentions_)
        attentions_->add(out, out / config.head_width, config.groups, transparent_norm_epsilon);
    }
    if (level > 0) {
      upsamplers_ = register_module("upsamplers", std::make_shared<List<Upsample>>());
      upsamplers_->add(out);
    }
  }
  at::Tensor forward(at::Tensor x, std::vector<at::Tensor>& skips) const {
    for (std::size_t i = 0; i < resnets_->size(); ++i) {
      x = (*resnets_)[i].forward(at::cat({x, skips.back()}, 1));
      skips.pop_back();
      if (attentions_) x = (*attentions_)[i].forward(x);
    }
    return upsamplers_ ? (*upsamplers_)[0].forward(x) : x;
  }

 private:
  std::shared_ptr<List<SpatialAttention>> attentions_;
  std::shared_ptr<List<ResnetBlock>> resnets_;
  std::shared_ptr<List<Upsample>> upsamplers_;
};

TransparentDecoder::TransparentDecoder(const TransparentDecoderConfig& config) : config_{config} {
  constexpr std::int64_t colours = 3, alpha_and_colours = 4;
  const auto first = config.widths.front();
  conv_in_ = register_module("conv_in", std::make_shared<Convolution>(colours, first, 3, 1, 1));
  latent_conv_in_ = register_module(
      "latent_conv_in",
      std::make_shared<Convolution>(config.latent_channels, config.widths[config.latent_level - 1], 1));
  down_blocks_ = register_module("down_blocks", std::make_shared<List<DownBlock>>());
  up_blocks_ = register_module("up_blocks", std::make_shared<List<UpBlock>>());
  for (std::size_t level = 0; level < config.widths.size(); ++level) down_blocks_->add(config, level);
  mid_block_ = register_module("mid_block", std::make_shared<MidBlock>(config));
  for (std::size_t level = 0; level < config.widths.size(); ++level) up_blocks_->add(config, level);
  conv_norm_out_ = register_module(
      "conv_norm_out", std::make_shared<GroupNorm>(config.groups, first, transparent_norm_epsilon));
  conv_out_ = register_module("conv_out", std::make_shared<Convolution>(first, alpha_and_colours, 3, 1, 1));
}

TransparentDecoder::~TransparentDecoder() = default;

at::Tensor TransparentDecoder::forward(const at::Tensor& pixel, const at::Tensor& latent) const {
  auto x = conv_in_->forward(pixel);
  std::vector<at::Tensor> skips{x};
  for (std::size_t level = 0; level < down_blocks_->size(); ++level) {
    // The skip of the level before was taken without the latent.
    if (level == config_.latent_level) x = x + latent_conv_in_->forward(latent);
    x = (*down_blocks_)[level].forward(x, skips);
  }
  x = mid_block_->forward(x);
  for (const auto& block : *up_blocks_) x = block->forward(x, skips);
  return conv_out_->forward(at::silu(conv_norm_out_->forward(x)));
}

namespace {

// The value at the lower middle of each element's votes, as torch.median takes it. By Batcher's odd-even
// merging network: whole tensors are compared, where at::median sorts element by element.
at::Tensor lower_median(std::vector<at::Tensor> votes) {
  const std::size_t count = votes.size();
  for (std::size_t p = 1; p < count; p *= 2) {
    for (std::size_t k = p; k >= 1; k /= 2) {
      for (std::size_t j = k % p; j + k < count; j += 2 * k) {
        for (std::size_t i = j; i < std::min(j + k, count - k); ++i) {
          if (i / (2 * p) != (i + k) / (2 * p)) continue;
          const auto lower = at::minimum(votes[i], votes[i + k]);
          votes[i + k] = at::maximum(votes[i], votes[i + k]);
          votes[i] = lower;
        }
      }
    }
  }
  return votes[(count - 1) / 2];
}

}  // namespace

at::Tensor decode_by_votes(const TransparentDecoding& network, const at::Tensor& pixel,
                           const at::Tensor& latent) {
  constexpr int quarter_turns = 4;
  std::vector<at::Tensor> votes;
  for (const bool mirrored : {false, true}) {
    for (int k = 0; k < quarter_turns; ++k) {
      const auto orient = [&](const at::Tensor& x) {
        return at::rot90(mirrored ? x.flip(3) : x, k, {2, 3}).contiguous();
      };
      auto y = at::rot90(network(orient(pixel), orient(latent)).clamp(0, 1), -k, {2, 3});
      votes.push_back((mirrored ? y.flip(3) : y).contiguous());
    }
  }
  return lower_median(std::move(votes));
}

std::shared_ptr<TransparentEncoder> load_transparent_encoder(const std::filesystem::path& file,
                                                             at::ScalarType dtype) {
  const auto files = open_weight_files(file, file.stem().string());
  std::vector<std::int64_t> first_of_level;
  std::int64_t latent_channels = 4;
  for (std::size_t i = 0; i <= 2 * most_levels; ++i) {
    const auto shape = shape_in(files, "blocks." + std::to_string(2 * i) + ".weight");
    if (shape.size() != 4) break;
    if (i % 2 == 0) first_of_level.push_back(shape[0]);
    latent_channels = shape[0];
  }
  if (first_of_level.size() < 2)
    throw DataError("is no transparent encoder: it lacks blocks.0.weight, blocks.2.weight, ...",
                    file.string(),
                    "Expected LayerDiffuse's vae_transparent_encoder or one made by `deda pretrain`.");
  first_of_level.pop_back();  // the last convolution makes the latent
  auto network =
      build_as(dtype, [&] { return std::make_shared<TransparentEncoder>(first_of_level, latent_channels); });
  load_weight_files(*network, files);
  return network;
}

std::shared_ptr<TransparentDecoder> load_transparent_decoder(const std::filesystem::path& file,
                                                             std::int64_t pixels_per_latent,
                                                             at::ScalarType dtype) {
  const auto files = open_weight_files(file, file.stem().string());
  TransparentDecoderConfig config;
  config.widths.clear();
  config.first_attention = most_levels;
  for (std::size_t level = 0; level < most_levels; ++level) {
    const auto block = "down_blocks." + std::to_string(level);
    const auto shape = shape_in(files, block + ".resnets.0.conv1.weight");
    if (shape.size() != 4) break;
    config.widths.push_back(shape[0]);
    if (!shape_in(files, block + ".attentions.0.to_q.weight").empty())
      config.first_attention = std::min(config.first_attention, level);
  }
  const auto latent = shape_in(files, "latent_conv_in.weight");
  config.latent_level =
      static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(pixels_per_latent)) - 1);
  bool usable = config.widths.size() >= 2 && latent.size() == 4 && config.latent_level >= 1 &&
                config.latent_level < config.widths.size();
  for (std::size_t level = 0; level < config.widths.size(); ++level)
    usable = usable && config.widths[level] % config.groups == 0 &&
             (level < config.first_attention || config.widths[level] % config.head_width == 0);
  if (!usable)
    throw DataError("is no transparent decoder for " + std::to_string(pixels_per_latent) +
                        " pixels per latent: down_blocks.N or latent_conv_in are missing or misshapen",
                    file.string(),
                    "Expected LayerDiffuse's vae_transparent_decoder or one made by `deda pretrain`.");
  config.latent_channels = latent[1];
  auto network = build_as(dtype, [&] { return std::make_shared<TransparentDecoder>(config); });
  load_weight_files(*network, files);
  return network;
}

}  // namespace deda::models
