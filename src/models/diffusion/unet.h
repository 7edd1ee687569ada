// UNet2DConditionModel of Stable Diffusion 1.5 and SDXL (and any width between), under diffusers' names.
// Source: diffusers models/unets/unet_2d_condition.py, unet_2d_blocks.py, models/attention.py.
#pragma once

#include <functional>
#include <map>

#include "models/diffusion/blocks.h"
#include "models/diffusion/unet_config.h"

namespace deda::models {

// What LayerDiffuse adds after one attention of SD1.5 (folded, layer_diffuse.h): with h the attention's input
// and a its output, a + linear(norm(h + a)).
class TransparencyBranch : public torch::nn::Module {
 public:
  explicit TransparencyBranch(std::int64_t width);
  at::Tensor forward(const at::Tensor& x) const { return linear->forward(norm->forward(x)); }
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<Linear> linear;
};

// Keys and values of a text for every cross-attention, in the network's order. They depend on the text alone,
// so that they are made once per text and not at each of the steps.
struct TextKeys {
  std::vector<std::pair<at::Tensor, at::Tensor>> pairs;  // each [texts, tokens, C]
  // Row b of the batch is text rows[b]: every pair is gathered.
  TextKeys for_rows(const at::Tensor& rows) const;
};

class CrossAttentionBlock;  // BasicTransformerBlock

class UNet : public torch::nn::Module {
 public:
  explicit UNet(const UNetConfig& config);
  ~UNet() override;

  struct Added {
    at::Tensor text_embeds;  // [B, P]
    at::Tensor time_ids;     // [B, 6]
  };
  // sample [B, in, H, W], timestep [B] (integers or fractions), text [B, tokens, cross_attention_dim] ->
  // [B, out, H, W].
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep, const at::Tensor& text,
                     const Added& added = {}) const;
  at::Tensor forward(const at::Tensor& sample, const at::Tensor& timestep, const TextKeys& text,
                     const Added& added = {}) const;
  // text [texts, tokens, cross_attention_dim].
  TextKeys keys_of(const at::Tensor& text) const;

  const UNetConfig& config() const { return config_; }
  // One attention of a transformer block by diffusers' name
  // ("down_blocks.0.attentions.0.transformer_blocks.0", attn 1 or 2), for weights that change attention.
  struct AttentionSite {
    std::string block;                      // diffusers' name of the transformer block
    CrossAttentionBlock* module = nullptr;  // valid while the network lives
  };
  std::vector<AttentionSite> attention_sites() const;
  // Puts a branch behind attention `which` (1 or 2) of the block and returns it, to be filled.
  static std::shared_ptr<TransparencyBranch> add_transparency(CrossAttentionBlock& block, int which);
  static AttentionProjections& projections(CrossAttentionBlock& block, int which);

 private:
  class Transformer;
  class DownBlock;
  class MidBlock;
  class UpBlock;
  class TimeEmbedding;
  struct TextReader;
  at::Tensor run(const at::Tensor& sample, const at::Tensor& timestep, TextReader& text,
                 const Added& added) const;

  UNetConfig config_;
  std::shared_ptr<Convolution> conv_in_, conv_out_;
  std::shared_ptr<TimeEmbedding> time_embedding_, add_embedding_;
  std::shared_ptr<List<DownBlock>> down_blocks_;
  std::shared_ptr<MidBlock> mid_block_;
  std::shared_ptr<List<UpBlock>> up_blocks_;
  std::shared_ptr<GroupNorm> conv_norm_out_;
};

// [cos(t f_0).., sin(t f_0)..] with f_i = 10000^(-i/(width/2)): [N] -> [N, width] float32.
at::Tensor sinusoidal_embedding(const at::Tensor& t, std::int64_t width);

}  // namespace deda::models
