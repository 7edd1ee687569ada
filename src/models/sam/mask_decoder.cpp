#include "models/sam/mask_decoder.h"

#include <algorithm>

namespace deda::models {
namespace {

constexpr std::int64_t layer_downsample = 2;  // of the layers' cross-attentions
constexpr double final_norm_epsilon = 1e-5;
constexpr std::int64_t hypernetwork_depth = 3;

// Multi-head attention inside of width / downsample. Where one side is the same for all prompts its batch is
// 1 and it is projected once.
class Attention : public torch::nn::Module {
 public:
  Attention(std::int64_t width, std::int64_t downsample, std::int64_t heads) : heads_{heads} {
    const auto inner = width / downsample;
    q_proj_ = register_module("q_proj", std::make_shared<Linear>(width, inner));
    k_proj_ = register_module("k_proj", std::make_shared<Linear>(width, inner));
    v_proj_ = register_module("v_proj", std::make_shared<Linear>(width, inner));
    out_proj_ = register_module("out_proj", std::make_shared<Linear>(inner, width));
  }
  // [B, queries, width], [B, keys, width] twice -> [B, queries, width].
  at::Tensor forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) const {
    const auto batch = std::max(query.size(0), key.size(0));
    const auto spread = [batch](const at::Tensor& x) { return x.expand({batch, x.size(1), x.size(2)}); };
    return out_proj_->forward(attend(spread(q_proj_->forward(query)), spread(k_proj_->forward(key)),
                                     spread(v_proj_->forward(value)), heads_));
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, out_proj_;
};

class DecoderMlp : public torch::nn::Module {
 public:
  DecoderMlp(std::int64_t width, std::int64_t inner) {
    lin1_ = register_module("lin1", std::make_shared<Linear>(width, inner));
    lin2_ = register_module("lin2", std::make_shared<Linear>(inner, width));
  }
  at::Tensor forward(const at::Tensor& x) const { return lin2_->forward(at::relu(lin1_->forward(x))); }

 private:
  std::shared_ptr<Linear> lin1_, lin2_;
};

// What goes through the layers: tokens [N, T, C], and the picture's places [N or 1, grid * grid, C].
struct TwoWay {
  at::Tensor tokens, image;
};

class Layer : public torch::nn::Module {
 public:
  Layer(const SamDecoderConfig& config, bool first) : first_{first} {
    const auto width = config.hidden_size;
    self_attn_ = register_module("self_attn", std::make_shared<Attention>(width, 1, config.heads));
    to_image_ = register_module("cross_attn_token_to_image",
                                std::make_shared<Attention>(width, layer_downsample, config.heads));
    to_tokens_ = register_module("cross_attn_image_to_token",
                                 std::make_shared<Attention>(width, layer_downsample, config.heads));
    mlp_ = register_module("mlp", std::make_shared<DecoderMlp>(width, config.mlp_dim));
    norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    norm3_ = register_module("layer_norm3", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    norm4_ = register_module("layer_norm4", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }
  // `prompts`: the tokens as they entered the transformer, which serve as their positions.
  TwoWay forward(TwoWay x, const at::Tensor& prompts, const at::Tensor& positions) const {
    if (first_) {
      x.tokens = self_attn_->forward(x.tokens, x.tokens, x.tokens);
    } else {
      const auto placed = x.tokens + prompts;
      x.tokens = x.tokens + self_attn_->forward(placed, placed, x.tokens);
    }
    x.tokens = norm1_->forward(x.tokens);
    const auto image_placed = x.image + positions;
    x.tokens = norm2_->forward(x.tokens + to_image_->forward(x.tokens + prompts, image_placed, x.image));
    x.tokens = norm3_->forward(x.tokens + mlp_->forward(x.tokens));
    x.image = norm4_->forward(x.image + to_tokens_->forward(image_placed, x.tokens + prompts, x.tokens));
    return x;
  }

 private:
  bool first_;
  std::shared_ptr<Attention> self_attn_, to_image_, to_tokens_;
  std::shared_ptr<DecoderMlp> mlp_;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_, norm4_;
};

}  // namespace

class SamMaskDecoder::Transformer : public torch::nn::Module {
 public:
  explicit Transformer(const SamDecoderConfig& config) {
    const auto width = config.hidden_size;
    layers_ = register_module("layers", std::make_shared<List<Layer>>());
    for (std::int64_t i = 0; i < config.layers; ++i) layers_->add(config, i == 0);
    final_attention_ =
        register_module("final_attn_token_to_image",
                        std::make_shared<Attention>(width, config.final_downsample, config.heads));
    final_norm_ =
        register_module("layer_norm_final_attn", std::make_shared<LayerNorm>(width, final_norm_epsilon));
  }
  TwoWay forward(TwoWay x, const at::Tensor& positions) const {
    const auto prompts = x.tokens;
    for (const auto& layer : *layers_) x = layer->forward(std::move(x), prompts, positions);
    x.tokens = final_norm_->forward(
        x.tokens + final_attention_->forward(x.tokens + prompts, x.image + positions, x.image));
    return x;
  }

 private:
  std::shared_ptr<List<Layer>> layers_;
  std::shared_ptr<Attention> final_attention_;
  std::shared_ptr<LayerNorm> final_norm_;
};

// proj_in, layers.0 ..., proj_out with ReLU between.
class SamMaskDecoder::FeedForward : public torch::nn::Module {
 public:
  FeedForward(std::int64_t in, std::int64_t inner, std::int64_t out, std::int64_t depth) {
    proj_in_ = register_module("proj_in", std::make_shared<Linear>(in, inner));
    layers_ = register_module("layers", std::make_shared<List<Linear>>());
    for (std::int64_t i = 2; i < depth; ++i) layers_->add(inner, inner);
    proj_out_ = register_module("proj_out", std::make_shared<Linear>(inner, out));
  }
  at::Tensor forward(const at::Tensor& x) const {
    auto h = at::relu(proj_in_->forward(x));
    for (const auto& layer : *layers_) h = at::relu(layer->forward(h));
    return proj_out_->forward(h);
  }

 private:
  std::shared_ptr<Linear> proj_in_, proj_out_;
  std::shared_ptr<List<Linear>> layers_;
};

SamMaskDecoder::SamMaskDecoder(const SamDecoderConfig& config) {
  const auto width = config.hidden_size, masks = config.multimask_outputs + 1;
  iou_token_ = register_module("iou_token", std::make_shared<Embedding>(1, width));
  mask_tokens_ = register_module("mask_tokens", std::make_shared<Embedding>(masks, width));
  transformer_ = register_module("transformer", std::make_shared<Transformer>(config));
  upscale_conv1_ = register_module("upscale_conv1", std::make_shared<DoublingConvolution>(width, width / 4));
  upscale_conv2_ =
      register_module("upscale_conv2", std::make_shared<DoublingConvolution>(width / 4, width / 8));
  upscale_layer_norm_ = register_module("upscale_layer_norm", std::make_shared<ChannelNorm>(width / 4));
  hypernetworks_ = register_module("output_hypernetworks_mlps", std::make_shared<List<FeedForward>>());
  for (std::int64_t i = 0; i < masks; ++i) hypernetworks_->add(width, width, width / 8, hypernetwork_depth);
  iou_head_ = register_module(
      "iou_prediction_head",
      std::make_shared<FeedForward>(width, config.iou_head_width, masks, config.iou_head_depth));
}

SamMaskDecoder::~SamMaskDecoder() = default;

SamMaskDecoder::Masks SamMaskDecoder::forward(const at::Tensor& image, const at::Tensor& positions,
                                              const at::Tensor& prompts, bool multimask) const {
  const auto channels = image.size(1), height = image.size(2), width = image.size(3);
  const auto count = prompts.defined() ? prompts.size(0) : 1;
  const auto masks = static_cast<std::int64_t>(hypernetworks_->size());
  // Mask 0 answers prompts that leave no doubt, the others are the alternatives.
  const std::int64_t first = multimask ? 1 : 0, last = multimask ? masks : 1;
  if (count == 0)
    return {at::empty({0, last - first, 4 * height, 4 * width}, image.options()),
            at::empty({0, last - first}, image.options())};
  auto tokens = at::cat({iou_token_->weight, mask_tokens_->weight}).unsqueeze(0).expand({count, -1, -1});
  if (prompts.defined()) tokens = at::cat({tokens, prompts}, 1);
  const auto out = transformer_->forward({tokens, image.flatten(2).transpose(1, 2)}, positions);

  auto large = out.image.transpose(1, 2).reshape({count, channels, height, width});
  large = at::gelu(upscale_layer_norm_->forward(upscale_conv1_->forward(large)));
  large = at::gelu(upscale_conv2_->forward(large));
  std::vector<at::Tensor> weights;
  for (std::int64_t i = first; i < last; ++i)
    weights.push_back((*hypernetworks_)[static_cast<std::size_t>(i)].forward(out.tokens.select(1, 1 + i)));
  const auto logits = at::stack(weights, 1).bmm(large.flatten(2));
  return {logits.view({count, last - first, large.size(2), large.size(3)}),
          iou_head_->forward(out.tokens.select(1, 0)).slice(1, first, last)};
}

}  // namespace deda::models
