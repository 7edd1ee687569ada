#include "models/diffusion/unet.h"

#include <cmath>

namespace deda::models {
namespace {

constexpr double transformer_norm_epsilon = 1e-6;  // of the transformers' own group norm
constexpr std::int64_t time_expansion = 4;         // width of the time embedding over the first width

// ff.net.0.proj and ff.net.2: gated by the exact GELU; the first half is the value, the second the gate.
class GatedLinear : public torch::nn::Module {
 public:
  explicit GatedLinear(std::int64_t width) {
    proj_ = register_module("proj", std::make_shared<Linear>(width, 8 * width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const auto halves = proj_->forward(x).chunk(2, -1);
    return halves[0] * at::gelu(halves[1]);
  }

 private:
  std::shared_ptr<Linear> proj_;
};

class FeedForward : public torch::nn::Module {
 public:
  explicit FeedForward(std::int64_t width) {
    auto net = std::make_shared<torch::nn::Module>("net");
    gate_ = net->register_module("0", std::make_shared<GatedLinear>(width));
    out_ = net->register_module("2", std::make_shared<Linear>(4 * width, width));
    register_module("net", net);
  }
  at::Tensor forward(const at::Tensor& x) const { return out_->forward(gate_->forward(x)); }

 private:
  std::shared_ptr<GatedLinear> gate_;
  std::shared_ptr<Linear> out_;
};

}  // namespace

// Where cross-attentions get their keys and values: from the text itself, or from those made before, in the
// same order.
struct UNet::TextReader {
  const at::Tensor* text = nullptr;
  const TextKeys* keys = nullptr;
  TextKeys* collected = nullptr;  // keys_of(): collects instead of attending
  std::size_t next = 0;
  std::pair<at::Tensor, at::Tensor> read(const AttentionProjections& attention) {
    if (keys != nullptr) return keys->pairs[next++];
    return {attention.key(*text), attention.value(*text)};
  }
};

TransparencyBranch::TransparencyBranch(std::int64_t width) {
  constexpr double epsilon = 1e-6;  // LayerDiffuse's temporal_n
  norm = register_module("norm", std::make_shared<LayerNorm>(width, epsilon));
  linear = register_module("linear", std::make_shared<Linear>(width, width));
}

TextKeys TextKeys::for_rows(const at::Tensor& rows) const {
  TextKeys gathered;
  for (const auto& [key, value] : pairs)
    gathered.pairs.emplace_back(key.index_select(0, rows), value.index_select(0, rows));
  return gathered;
}

// Self-attention, cross-attention, feed-forward: BasicTransformerBlock.
class CrossAttentionBlock : public torch::nn::Module {
 public:
  CrossAttentionBlock(std::int64_t width, std::int64_t heads, std::int64_t context) : heads_{heads} {
    norm1_ = register_module("norm1", std::make_shared<LayerNorm>(width));
    attn1 = register_module("attn1", std::make_shared<AttentionProjections>(width, width, false));
    norm2_ = register_module("norm2", std::make_shared<LayerNorm>(width));
    attn2 = register_module("attn2", std::make_shared<AttentionProjections>(width, context, false));
    norm3_ = register_module("norm3", std::make_shared<LayerNorm>(width));
    ff_ = register_module("ff", std::make_shared<FeedForward>(width));
  }
  at::Tensor forward(at::Tensor x, const std::pair<at::Tensor, at::Tensor>& text) const {
    auto h = norm1_->forward(x);
    auto a = attn1->out(attend(attn1->query(h), attn1->key(h), attn1->value(h), heads_));
    x = x + with_branch(branch1_, h, a);
    h = norm2_->forward(x);
    a = attn2->out(attend(attn2->query(h), text.first, text.second, heads_));
    x = x + with_branch(branch2_, h, a);
    return x + ff_->forward(norm3_->forward(x));
  }
  std::shared_ptr<TransparencyBranch> add_branch(int which) {
    auto& branch = which == 1 ? branch1_ : branch2_;
    const auto width = attn1->to_q->weight.size(0);
    branch = register_module(which == 1 ? "transparency1" : "transparency2",
                             std::make_shared<TransparencyBranch>(width));
    return branch;
  }
  std::shared_ptr<AttentionProjections> attn1, attn2;

 private:
  static at::Tensor with_branch(const std::shared_ptr<TransparencyBranch>& branch, const at::Tensor& input,
                                const at::Tensor& output) {
    return branch ? output + branch->forward(input + output) : output;
  }
  std::int64_t heads_;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<FeedForward> ff_;
  std::shared_ptr<TransparencyBranch> branch1_, branch2_;
};

// Transformer2DModel. SD1.5 projects by 1x1 convolutions, SDXL by linear layers.
class UNet::Transformer : public torch::nn::Module {
 public:
  Transformer(const UNetConfig& config, std::int64_t width, std::int64_t heads, std::int64_t depth)
      : linear_{config.linear_projection} {
    norm_ = register_module("norm",
                            std::make_shared<GroupNorm>(config.norm_groups, width, transformer_norm_epsilon));
    if (linear_) {
      linear_in_ = register_module("proj_in", std::make_shared<Linear>(width, width));
    } else {
      conv_in_ = register_module("proj_in", std::make_shared<Convolution>(width, width, 1));
    }
    blocks = register_module("transformer_blocks", std::make_shared<List<CrossAttentionBlock>>());
    for (std::int64_t i = 0; i < depth; ++i) blocks->add(width, heads, config.cross_attention_dim);
    if (linear_) {
      linear_out_ = register_module("proj_out", std::make_shared<Linear>(width, width));
    } else {
      conv_out_ = register_module("proj_out", std::make_shared<Convolution>(width, width, 1));
    }
  }
  at::Tensor forward(const at::Tensor& x, TextReader& text) const {
    if (text.collected != nullptr) {
      for (const auto& block : *blocks)
        text.collected->pairs.emplace_back(block->attn2->key(*text.text), block->attn2->value(*text.text));
      return x;
    }
    auto y = norm_->forward(x);
    if (!linear_) y = conv_in_->forward(y);
    y = y.permute({0, 2, 3, 1}).reshape({x.size(0), x.size(2) * x.size(3), x.size(1)});
    if (linear_) y = linear_in_->forward(y);
    for (const auto& block : *blocks) y = block->forward(y, text.read(*block->attn2));
    if (linear_) y = linear_out_->forward(y);
    y = y.view({x.size(0), x.size(2), x.size(3), x.size(1)}).permute({0, 3, 1, 2});
    if (!linear_) y = conv_out_->forward(y);
    return x + y;
  }
  std::shared_ptr<List<CrossAttentionBlock>> blocks;

 private:
  bool linear_;
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> linear_in_, linear_out_;
  std::shared_ptr<Convolution> conv_in_, conv_out_;
};

class UNet::TimeEmbedding : public torch::nn::Module {
 public:
  TimeEmbedding(std::int64_t in, std::int64_t width) {
    linear_1_ = register_module("linear_1", std::make_shared<Linear>(in, width));
    linear_2_ = register_module("linear_2", std::make_shared<Linear>(width, width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    return linear_2_->forward(at::silu(linear_1_->forward(x.to(linear_1_->weight.scalar_type()))));
  }

 private:
  std::shared_ptr<Linear> linear_1_, linear_2_;
};

class UNet::DownBlock : public torch::nn::Module {
 public:
  DownBlock(const UNetConfig& config, std::size_t level, std::int64_t time_width) {
    const auto out = config.block_out_channels[level];
    auto in = level == 0 ? config.block_out_channels[0] : config.block_out_channels[level - 1];
    if (config.down_attention[level])
      attentions = register_module("attentions", std::make_shared<List<Transformer>>());
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (std::int64_t i = 0; i < config.layers_per_block; ++i) {
      resnets_->add(in, out, time_width, config.norm_groups, config.norm_epsilon);
      if (attentions) attentions->add(config, out, config.heads[level], config.depth[level]);
      in = out;
    }
    if (level + 1 < config.block_out_channels.size()) {
      downsamplers_ = register_module("downsamplers", std::make_shared<List<Downsample>>());
      downsamplers_->add(out, DownPadding::around);
    }
  }
  at::Tensor forward(at::Tensor x, const at::Tensor& time, TextReader& text,
                     std::vector<at::Tensor>& skips) const {
    for (std::size_t i = 0; i < resnets_->size(); ++i) {
      x = (*resnets_)[i].forward(x, time);
      if (attentions) x = (*attentions)[i].forward(x, text);
      skips.push_back(x);
    }
    if (downsamplers_) {
      x = (*downsamplers_)[0].forward(x);
      skips.push_back(x);
    }
    return x;
  }
  std::shared_ptr<List<Transformer>> attentions;

 private:
  std::shared_ptr<List<ResnetBlock>> resnets_;
  std::shared_ptr<List<Downsample>> downsamplers_;
};

class UNet::MidBlock : public torch::nn::Module {
 public:
  MidBlock(const UNetConfig& config, std::int64_t time_width) {
    const auto width = config.block_out_channels.back();
    attentions = register_module("attentions", std::make_shared<List<Transformer>>());
    attentions->add(config, width, config.heads.back(), config.depth.back());
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    for (int i = 0; i < 2; ++i)
      resnets_->add(width, width, time_width, config.norm_groups, config.norm_epsilon);
  }
  at::Tensor forward(at::Tensor x, const at::Tensor& time, TextReader& text) const {
    x = (*resnets_)[0].forward(x, time);
    x = (*attentions)[0].forward(x, text);
    return (*resnets_)[1].forward(x, time);
  }
  std::shared_ptr<List<Transformer>> attentions;

 private:
  std::shared_ptr<List<ResnetBlock>> resnets_;
};

class UNet::UpBlock : public torch::nn::Module {
 public:
  // `level` counts from the coarsest.
  UpBlock(const UNetConfig& config, std::size_t level, std::int64_t time_width) {
    const auto& widths = config.block_out_channels;
    const std::size_t levels = widths.size(), mirrored = levels - 1 - level;
    const auto out = widths[mirrored];
    const auto previous = level == 0 ? widths.back() : widths[mirrored + 1];
    const auto last_skip = mirrored == 0 ? widths[0] : widths[mirrored - 1];
    if (config.up_attention[level])
      attentions = register_module("attentions", std::make_shared<List<Transformer>>());
    resnets_ = register_module("resnets", std::make_shared<List<ResnetBlock>>());
    const auto layers = config.layers_per_block + 1;
    for (std::int64_t i = 0; i < layers; ++i) {
      const auto skip = i == layers - 1 ? last_skip : out;
      resnets_->add((i == 0 ? previous : out) + skip, out, time_width, config.norm_groups,
                    config.norm_epsilon);
      if (attentions) attentions->add(config, out, config.heads[mirrored], config.depth[mirrored]);
    }
    if (level + 1 < levels) {
      upsamplers_ = register_module("upsamplers", std::make_shared<List<Upsample>>());
      upsamplers_->add(out);
    }
  }
  at::Tensor forward(at::Tensor x, const at::Tensor& time, TextReader& text,
                     std::vector<at::Tensor>& skips) const {
    for (std::size_t i = 0; i < resnets_->size(); ++i) {
      x = (*resnets_)[i].forward(at::cat({x, skips.back()}, 1), time);
      skips.pop_back();
      if (attentions) x = (*attentions)[i].forward(x, text);
    }
    // To the size of the next skip: twice, but for sizes that an even number does not divide.
    if (upsamplers_) x = (*upsamplers_)[0].forward(x, skips.back().size(2), skips.back().size(3));
    return x;
  }
  std::shared_ptr<List<Transformer>> attentions;

 private:
  std::shared_ptr<List<ResnetBlock>> resnets_;
  std::shared_ptr<List<Upsample>> upsamplers_;
};

UNet::UNet(const UNetConfig& config) : config_{config} {
  const auto first = config.block_out_channels.front();
  const auto time_width = first * time_expansion;
  conv_in_ = register_module("conv_in", std::make_shared<Convolution>(config.in_channels, first, 3, 1, 1));
  time_embedding_ = register_module("time_embedding", std::make_shared<TimeEmbedding>(first, time_width));
  if (config.added_time_width > 0)
    add_embedding_ = register_module("add_embedding",
                                     std::make_shared<TimeEmbedding>(config.added_input_width, time_width));
  down_blocks_ = register_module("down_blocks", std::make_shared<List<DownBlock>>());
  up_blocks_ = register_module("up_blocks", std::make_shared<List<UpBlock>>());
  for (std::size_t level = 0; level < config.block_out_channels.size(); ++level)
    down_blocks_->add(config, level, time_width);
  mid_block_ = register_module("mid_block", std::make_shared<MidBlock>(config, time_width));
  for (std::size_t level = 0; level < config.block_out_channels.size(); ++level)
    up_blocks_->add(config, level, time_width);
  conv_norm_out_ = register_module(
      "conv_norm_out", std::make_shared<GroupNorm>(config.norm_groups, first, config.norm_epsilon));
  conv_out_ = register_module("conv_out", std::make_shared<Convolution>(first, config.out_channels, 3, 1, 1));
}

UNet::~UNet() = default;

at::Tensor UNet::forward(const at::Tensor& sample, const at::Tensor& timestep, const at::Tensor& text,
                         const Added& added) const {
  TextReader reader;
  reader.text = &text;
  return run(sample, timestep, reader, added);
}

at::Tensor UNet::forward(const at::Tensor& sample, const at::Tensor& timestep, const TextKeys& text,
                         const Added& added) const {
  TextReader reader;
  reader.keys = &text;
  return run(sample, timestep, reader, added);
}

TextKeys UNet::keys_of(const at::Tensor& text) const {
  TextKeys keys;
  TextReader reader;
  reader.text = &text;
  reader.collected = &keys;
  const at::Tensor nothing;
  for (const auto& block : *down_blocks_) {
    if (!block->attentions) continue;
    for (const auto& transformer : *block->attentions) transformer->forward(nothing, reader);
  }
  for (const auto& transformer : *mid_block_->attentions) transformer->forward(nothing, reader);
  for (const auto& block : *up_blocks_) {
    if (!block->attentions) continue;
    for (const auto& transformer : *block->attentions) transformer->forward(nothing, reader);
  }
  return keys;
}

at::Tensor UNet::run(const at::Tensor& sample, const at::Tensor& timestep, TextReader& text,
                     const Added& added) const {
  auto time = time_embedding_->forward(
      sinusoidal_embedding(timestep.to(at::kFloat), config_.block_out_channels.front()));
  if (add_embedding_) {
    const auto& ids = added.time_ids;
    const auto times = sinusoidal_embedding(ids.to(at::kFloat).flatten(), config_.added_time_width)
                           .reshape({ids.size(0), -1});
    const auto parts = at::cat({added.text_embeds.to(at::kFloat), times}, -1);
    time = time + add_embedding_->forward(parts);
  }
  time = at::silu(time);  // every block projects SiLU of the embedding: taken once
  auto x = conv_in_->forward(sample);
  std::vector<at::Tensor> skips{x};
  for (const auto& block : *down_blocks_) x = block->forward(x, time, text, skips);
  x = mid_block_->forward(x, time, text);
  for (const auto& block : *up_blocks_) x = block->forward(x, time, text, skips);
  return conv_out_->forward(at::silu(conv_norm_out_->forward(x)));
}

std::vector<UNet::AttentionSite> UNet::attention_sites() const {
  std::vector<AttentionSite> sites;
  for (const auto& entry : named_modules(std::string{}, /*include_self=*/false)) {
    if (auto* block = dynamic_cast<CrossAttentionBlock*>(entry.value().get()))
      sites.push_back({entry.key(), block});
  }
  return sites;
}

std::shared_ptr<TransparencyBranch> UNet::add_transparency(CrossAttentionBlock& block, int which) {
  return block.add_branch(which);
}

AttentionProjections& UNet::projections(CrossAttentionBlock& block, int which) {
  return which == 1 ? *block.attn1 : *block.attn2;
}

at::Tensor sinusoidal_embedding(const at::Tensor& t, std::int64_t width) {
  const auto half = width / 2;
  const auto exponent =
      at::arange(half, t.options().dtype(at::kFloat)) * (-std::log(10000.0) / static_cast<double>(half));
  const auto phase = t.to(at::kFloat).unsqueeze(-1) * exponent.exp();
  return at::cat({phase.cos(), phase.sin()}, -1);
}

}  // namespace deda::models
