#include "models/sam_image_encoder.h"

#include <algorithm>

namespace deda::models {
namespace {

// Of the numbers that relative positions add to the logits: small enough for the caches and for any card.
constexpr std::int64_t bias_bytes = std::int64_t{32} << 20;

at::TensorOptions parameter_options() {
  return at::TensorOptions().dtype(at::get_default_dtype());
}

// [side, side, d]: row (q, k) of the result is row q - k + side - 1 of the table.
at::Tensor by_distance(const at::Tensor& table, std::int64_t side) {
  const auto places = at::arange(side, table.options().dtype(at::kLong));
  const auto distance = places.unsqueeze(1) - places.unsqueeze(0) + (side - 1);
  return table.index_select(0, distance.flatten()).view({side, side, -1});
}

class Mlp : public torch::nn::Module {
 public:
  Mlp(std::int64_t width, std::int64_t inner) {
    lin1_ = register_module("lin1", std::make_shared<Linear>(width, inner));
    lin2_ = register_module("lin2", std::make_shared<Linear>(inner, width));
  }
  at::Tensor forward(const at::Tensor& x) const { return lin2_->forward(at::gelu(lin1_->forward(x))); }

 private:
  std::shared_ptr<Linear> lin1_, lin2_;
};

// Self-attention on a square grid, a window or the whole picture.
class GridAttention : public torch::nn::Module {
 public:
  GridAttention(const SamVisionConfig& config, std::int64_t side) : heads_{config.heads} {
    const auto width = config.hidden_size;
    qkv_ = register_module("qkv", std::make_shared<Linear>(width, 3 * width, config.qkv_bias));
    proj_ = register_module("proj", std::make_shared<Linear>(width, width));
    if (!config.relative_positions) return;
    const std::vector<std::int64_t> shape{2 * side - 1, width / heads_};
    rel_pos_h_ = register_parameter("rel_pos_h", at::empty(shape, parameter_options()));
    rel_pos_w_ = register_parameter("rel_pos_w", at::empty(shape, parameter_options()));
  }
  at::Tensor forward(const at::Tensor& x) const {  // [B, side, side, C]
    const auto side = x.size(1), places = side * side;
    const auto qkv = qkv_->forward(x)
                         .view({x.size(0), places, 3, heads_, -1})
                         .permute({2, 0, 3, 1, 4});  // [3, B, heads, N, d]
    const auto out = rel_pos_h_.defined() ? attend_with_positions(qkv[0], qkv[1], qkv[2], rel_pos_h_,
                                                                  rel_pos_w_, side, bias_bytes)
                                          : at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return proj_->forward(out.transpose(1, 2).reshape(x.sizes()));
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> qkv_, proj_;
  at::Tensor rel_pos_h_, rel_pos_w_;
};

}  // namespace

at::Tensor attend_with_positions(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& rel_height, const at::Tensor& rel_width, std::int64_t side,
                                 std::int64_t bias_budget) {
  const auto batch = query.size(0), heads = query.size(1), places = side * side;
  const auto by_row = by_distance(rel_height, side), by_column = by_distance(rel_width, side);
  const auto row_bytes = heads * side * places * static_cast<std::int64_t>(query.element_size());
  const auto rows = std::clamp<std::int64_t>(bias_budget / row_bytes, 1, side);
  const auto windows = std::clamp<std::int64_t>(bias_budget / (row_bytes * side), 1, batch);
  auto out = at::empty({batch, places, heads, query.size(3)}, query.options()).transpose(1, 2);
  for (std::int64_t first = 0; first < batch; first += windows) {
    const auto last = std::min(first + windows, batch);
    const auto q_all = query.slice(0, first, last), k = key.slice(0, first, last),
               v = value.slice(0, first, last);
    for (std::int64_t top = 0; top < side; top += rows) {
      const auto bottom = std::min(top + rows, side);
      const auto q = q_all.slice(2, top * side, bottom * side);
      const auto grid = q.reshape({last - first, heads, bottom - top, side, -1});
      // [windows, heads, y, x, side] each, spread over the keys' columns and rows.
      const auto along_y = at::einsum("bnyxd,ykd->bnyxk", {grid, by_row.slice(0, top, bottom)});
      const auto along_x = at::einsum("bnyxd,xkd->bnyxk", {grid, by_column});
      const auto bias = (along_y.unsqueeze(-1) + along_x.unsqueeze(-2))
                            .reshape({last - first, heads, (bottom - top) * side, places});
      out.slice(0, first, last)
          .slice(2, top * side, bottom * side)
          .copy_(at::scaled_dot_product_attention(q, k, v, bias));
    }
  }
  return out;
}

class SamImageEncoder::Layer : public torch::nn::Module {
 public:
  Layer(const SamVisionConfig& config, bool global) : window_{global ? 0 : config.window_size} {
    const auto width = config.hidden_size;
    norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    attention_ = register_module(
        "attn", std::make_shared<GridAttention>(config, window_ > 0 ? window_ : config.grid()));
    norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    mlp_ = register_module("mlp", std::make_shared<Mlp>(width, config.mlp_dim));
  }
  at::Tensor forward(const at::Tensor& x) const {  // [B, grid, grid, C]
    const auto normed = norm1_->forward(x);
    const auto attended =
        window_ == 0 ? attention_->forward(normed)
                     : from_windows(attention_->forward(to_windows(normed, window_)), x.size(1), x.size(2));
    const auto h = x + attended;
    return h + mlp_->forward(norm2_->forward(h));
  }

 private:
  std::int64_t window_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<GridAttention> attention_;
  std::shared_ptr<Mlp> mlp_;
};

SamImageEncoder::SamImageEncoder(const SamVisionConfig& config) {
  auto patches = std::make_shared<torch::nn::Module>("patch_embed");
  patch_embed_ = patches->register_module(
      "projection",
      std::make_shared<Convolution>(3, config.hidden_size, config.patch_size, config.patch_size));
  register_module("patch_embed", patches);
  if (config.absolute_positions)
    pos_embed_ = register_parameter(
        "pos_embed", at::empty({1, config.grid(), config.grid(), config.hidden_size}, parameter_options()));
  layers_ = register_module("layers", std::make_shared<List<Layer>>());
  const auto& global = config.global_layers;
  for (std::int64_t i = 0; i < config.layers; ++i)
    layers_->add(config, std::find(global.begin(), global.end(), i) != global.end());
  neck_ = register_module("neck", std::make_shared<SamNeck>(config.hidden_size, config.output_channels));
}

SamImageEncoder::~SamImageEncoder() = default;

at::Tensor SamImageEncoder::forward(const at::Tensor& pixel_values) const {
  auto x = patch_embed_->forward(pixel_values).permute({0, 2, 3, 1});
  x = (pos_embed_.defined() ? x + pos_embed_ : x).contiguous();
  for (const auto& layer : *layers_) x = layer->forward(x);
  return neck_->forward(x.permute({0, 3, 1, 2}));
}

}  // namespace deda::models
