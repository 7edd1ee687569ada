#include "models/grounding_dino/swin.h"

#include <algorithm>
#include <array>

#include "models/kept_tensor.h"

namespace deda::models {
namespace {

constexpr double between_regions = -100.0;  // added to logits of tokens that the shift brought together

// Zeros right of and below [B, H, W, C] up to multiples of `multiple`.
at::Tensor pad_to_multiple(const at::Tensor& x, std::int64_t multiple) {
  const auto missing = [&](std::int64_t side) { return (multiple - side % multiple) % multiple; };
  if (missing(x.size(1)) == 0 && missing(x.size(2)) == 0) return x;
  return at::constant_pad_nd(x, {0, 0, 0, missing(x.size(2)), 0, missing(x.size(1))});
}

// [B, rows, columns, window * window, C] of [B, H, W, C], and back.
at::Tensor to_windows(const at::Tensor& x, std::int64_t window) {
  return x.view({x.size(0), x.size(1) / window, window, x.size(2) / window, window, x.size(3)})
      .transpose(2, 3)
      .flatten(3, 4);
}
at::Tensor from_windows(const at::Tensor& x, std::int64_t window) {
  return x.view({x.size(0), x.size(1), x.size(2), window, window, x.size(4)})
      .transpose(2, 3)
      .reshape({x.size(0), x.size(1) * window, x.size(2) * window, x.size(4)});
}

// Row of the bias table for every pair of tokens of a window, [window^4]. Files hold it as a buffer; it is
// computed instead, because newer ones leave it out.
at::Tensor relative_position_index(std::int64_t window) {
  const auto along = at::arange(window, at::kLong);
  const auto row = along.repeat_interleave(window), column = along.repeat({window});
  const auto difference = [&](const at::Tensor& c) { return c.unsqueeze(1) - c.unsqueeze(0) + window - 1; };
  return (difference(row) * (2 * window - 1) + difference(column)).flatten();
}

// [window^2, window^2], to be added to the logits of a window that the shift put together from several
// places.
at::Tensor region_mask(std::int64_t window, std::int64_t shift, bool last_row, bool last_column) {
  const auto wrapped = at::arange(window, at::kLong) >= window - shift;
  auto region = at::zeros({window, window}, at::kLong);
  if (last_row) region += 2 * wrapped.to(at::kLong).unsqueeze(1);
  if (last_column) region += wrapped.to(at::kLong).unsqueeze(0);
  region = region.flatten();
  return between_regions * (region.unsqueeze(0) != region.unsqueeze(1)).to(at::kFloat);
}

class WindowAttention : public torch::nn::Module {
 public:
  WindowAttention(const SwinConfig& config, std::int64_t width, std::int64_t heads, std::int64_t shift)
      : window_{config.window_size},
        heads_{heads},
        shift_{shift},
        index_{[window = config.window_size] { return relative_position_index(window); }},
        masks_{mask_of(false, false), mask_of(false, true), mask_of(true, false), mask_of(true, true)} {
    auto self = std::make_shared<torch::nn::Module>("self");
    query_ = self->register_module("query", std::make_shared<Linear>(width, width, config.qkv_bias));
    key_ = self->register_module("key", std::make_shared<Linear>(width, width, config.qkv_bias));
    value_ = self->register_module("value", std::make_shared<Linear>(width, width, config.qkv_bias));
    const auto offsets = 2 * window_ - 1;
    bias_table_ = self->register_parameter("relative_position_bias_table",
                                           at::empty({offsets * offsets, heads}, parameter_options()));
    register_module("self", self);
    auto output = std::make_shared<torch::nn::Module>("output");
    output_ = output->register_module("dense", std::make_shared<Linear>(width, width));
    register_module("output", output);
  }
  // [B, rows, columns, window^2, C]. Only the last row and the last column of windows hold tokens that the
  // shift brought together, so at most four masks are needed.
  at::Tensor forward(const at::Tensor& x) const {
    const auto query = query_->forward(x), key = key_->forward(x), value = value_->forward(x);
    const auto bias = relative_bias();
    if (shift_ == 0) {
      const auto flat = [](const at::Tensor& t) { return t.flatten(0, 2); };
      return output_->forward(
          attend_masked(flat(query), flat(key), flat(value), heads_, bias).view(x.sizes()));
    }
    const auto rows = x.size(1), columns = x.size(2);
    auto out = at::empty_like(query);
    for (const bool last_row : {false, true}) {
      for (const bool last_column : {false, true}) {
        const auto part = [&](const at::Tensor& t) {
          return t.slice(1, last_row ? rows - 1 : 0, last_row ? rows : rows - 1)
              .slice(2, last_column ? columns - 1 : 0, last_column ? columns : columns - 1);
        };
        auto target = part(out);
        if (target.numel() == 0) continue;
        const auto flat = [&](const at::Tensor& t) { return part(t).flatten(0, 2); };
        const auto mask = bias + masks_[2 * last_row + last_column].on(bias.device(), bias.scalar_type());
        target.copy_(attend_masked(flat(query), flat(key), flat(value), heads_, mask).view(target.sizes()));
      }
    }
    return output_->forward(out);
  }

 private:
  at::Tensor relative_bias() const {  // [1, heads, window^2, window^2]
    const auto tokens = window_ * window_;
    return bias_table_.index_select(0, index_.on(bias_table_.device(), at::kLong))
        .view({tokens, tokens, heads_})
        .permute({2, 0, 1})
        .unsqueeze(0)
        .contiguous();
  }
  KeptTensor mask_of(bool last_row, bool last_column) const {
    return KeptTensor{[window = window_, shift = shift_, last_row, last_column] {
      return region_mask(window, shift, last_row, last_column);
    }};
  }

  std::int64_t window_, heads_, shift_;
  KeptTensor index_;
  std::array<KeptTensor, 4> masks_;  // 2 * (last row) + (last column)
  at::Tensor bias_table_;
  std::shared_ptr<Linear> query_, key_, value_, output_;
};

std::shared_ptr<Linear> register_dense(torch::nn::Module& parent, const char* name, std::int64_t in,
                                       std::int64_t out) {
  auto holder = std::make_shared<torch::nn::Module>(name);
  auto dense = holder->register_module("dense", std::make_shared<Linear>(in, out));
  parent.register_module(name, holder);
  return dense;
}

class Block : public torch::nn::Module {
 public:
  Block(const SwinConfig& config, std::int64_t width, std::int64_t heads, bool shifted)
      : window_{config.window_size}, shift_{shifted ? config.window_size / 2 : 0} {
    const auto inner = static_cast<std::int64_t>(config.mlp_ratio * static_cast<double>(width));
    norm_before_ =
        register_module("layernorm_before", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    attention_ =
        register_module("attention", std::make_shared<WindowAttention>(config, width, heads, shift_));
    norm_after_ = register_module("layernorm_after", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    widen_ = register_dense(*this, "intermediate", width, inner);
    narrow_ = register_dense(*this, "output", inner, width);
  }
  at::Tensor forward(const at::Tensor& x) const {  // [B, H, W, C]
    const auto height = x.size(1), width = x.size(2);
    auto padded = pad_to_multiple(norm_before_->forward(x), window_);
    if (shift_ > 0) padded = at::roll(padded, {-shift_, -shift_}, {1, 2});
    padded = from_windows(attention_->forward(to_windows(padded, window_)), window_);
    if (shift_ > 0) padded = at::roll(padded, {shift_, shift_}, {1, 2});
    const auto attended = x + padded.slice(1, 0, height).slice(2, 0, width);
    return attended + narrow_->forward(at::gelu(widen_->forward(norm_after_->forward(attended))));
  }

 private:
  std::int64_t window_, shift_;
  std::shared_ptr<LayerNorm> norm_before_, norm_after_;
  std::shared_ptr<WindowAttention> attention_;
  std::shared_ptr<Linear> widen_, narrow_;
};

class PatchMerging : public torch::nn::Module {
 public:
  explicit PatchMerging(std::int64_t width) {
    reduction_ = register_module("reduction", std::make_shared<Linear>(4 * width, 2 * width, false));
    norm_ = register_module("norm", std::make_shared<LayerNorm>(4 * width));
  }
  at::Tensor forward(const at::Tensor& x) const {  // [B, H, W, C] -> [B, ceil(H/2), ceil(W/2), 2C]
    const auto even = pad_to_multiple(x, 2);
    const auto corner = [&](std::int64_t row, std::int64_t column) {
      return even.slice(1, row, c10::nullopt, 2).slice(2, column, c10::nullopt, 2);
    };
    return reduction_->forward(
        norm_->forward(at::cat({corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)}, -1)));
  }

 private:
  std::shared_ptr<Linear> reduction_;
  std::shared_ptr<LayerNorm> norm_;
};

}  // namespace

class Swin::Stage : public torch::nn::Module {
 public:
  Stage(const SwinConfig& config, std::size_t stage, bool merges) {
    const auto width = config.embed_dim << stage;
    blocks_ = register_module("blocks", std::make_shared<List<Block>>());
    for (std::int64_t i = 0; i < config.depths[stage]; ++i)
      blocks_->add(config, width, config.heads[stage], i % 2 == 1);
    if (merges) merging_ = register_module("downsample", std::make_shared<PatchMerging>(width));
  }
  at::Tensor forward(at::Tensor x) const {
    for (const auto& block : *blocks_) x = block->forward(x);
    return x;
  }
  at::Tensor merge(const at::Tensor& x) const { return merging_->forward(x); }

 private:
  std::shared_ptr<List<Block>> blocks_;
  std::shared_ptr<PatchMerging> merging_;
};

Swin::Swin(const SwinConfig& config) : config_{config} {
  auto embeddings = std::make_shared<torch::nn::Module>("embeddings");
  auto patches = std::make_shared<torch::nn::Module>("patch_embeddings");
  projection_ = patches->register_module(
      "projection",
      std::make_shared<Convolution>(config.channels, config.embed_dim, config.patch_size, config.patch_size));
  embeddings->register_module("patch_embeddings", patches);
  norm_ = embeddings->register_module("norm", std::make_shared<LayerNorm>(config.embed_dim));
  register_module("embeddings", embeddings);
  auto encoder = std::make_shared<torch::nn::Module>("encoder");
  stages_ = encoder->register_module("layers", std::make_shared<List<Stage>>());
  for (std::size_t i = 0; i < config.depths.size(); ++i)
    stages_->add(config, i, /*merges=*/i + 1 < config.depths.size());
  register_module("encoder", encoder);
  auto norms = std::make_shared<torch::nn::Module>("hidden_states_norms");
  for (const auto stage : config.out_stages)
    out_norms_.push_back(norms->register_module("stage" + std::to_string(stage),
                                                std::make_shared<LayerNorm>(config.width(stage))));
  register_module("hidden_states_norms", norms);
}

Swin::~Swin() = default;

std::vector<at::Tensor> Swin::forward(const at::Tensor& pictures) const {
  const auto channels_last = pad_to_multiple(pictures.permute({0, 2, 3, 1}), config_.patch_size);
  auto x = norm_->forward(projection_->forward(channels_last.permute({0, 3, 1, 2})).permute({0, 2, 3, 1}));
  std::vector<at::Tensor> maps;
  for (std::size_t i = 0; i < stages_->size() && maps.size() < out_norms_.size(); ++i) {
    x = (*stages_)[i].forward(x);
    if (config_.out_stages[maps.size()] == static_cast<std::int64_t>(i) + 1)
      maps.push_back(out_norms_[maps.size()]->forward(x).permute({0, 3, 1, 2}));
    if (i + 1 < stages_->size()) x = (*stages_)[i].merge(x);
  }
  return maps;
}

}  // namespace deda::models
