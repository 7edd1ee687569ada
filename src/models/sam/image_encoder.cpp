#include "models/sam/image_encoder.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace deda::models {
namespace {

// Of the numbers that relative positions add to the logits. CPU: 16 rows of a head at 64 x 64 places, near
// the caches; other devices: a part of what any card has, and enough to fill it.
constexpr std::int64_t bias_bytes_cpu = std::int64_t{16} << 20;
constexpr std::int64_t bias_bytes_device = std::int64_t{256} << 20;
// What fused attention asks of a head's width.
constexpr std::int64_t width_multiple = 8;

// Measured with ViT-H in bf16 on an H100, 8 pictures at once: 51.5 a second, 50.5 everywhere, 43.7 nowhere.
// In windows the masks are small, and wider heads cost as much as they save.
std::atomic<PositionFolding> folding{PositionFolding::global_layers};

// [side * side]: for every pair of rows (or columns) the table's row of their distance.
at::Tensor make_distances(std::int64_t side) {
  const auto along = at::arange(side, at::kLong);
  return (along.unsqueeze(1) - along.unsqueeze(0) + (side - 1)).flatten();
}

at::Tensor make_marks(std::int64_t side) {
  const auto one = at::eye(side);
  const auto row = one.repeat_interleave(side, 0), column = one.repeat({side, 1});
  return at::cat({row, column}, 1);
}

// How much of the logits is worked on at a time.
struct Piece {
  std::int64_t windows, heads, rows;
};

// Long runs of queries are what the fused kernels are fast at: whole heads before several heads, all heads
// before several windows.
Piece piece_of(std::int64_t windows, std::int64_t heads, std::int64_t side, std::int64_t numbers) {
  const auto row = side * side * side, head = row * side;
  Piece piece{1, 1, std::clamp<std::int64_t>(numbers / row, 1, side)};
  if (piece.rows == side) piece.heads = std::clamp<std::int64_t>(numbers / head, 1, heads);
  if (piece.heads == heads) piece.windows = std::clamp<std::int64_t>(numbers / (head * heads), 1, windows);
  return piece;
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
  GridAttention(const SamVisionConfig& config, std::int64_t side, bool global)
      : heads_{config.heads}, global_{global}, places_{side} {
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
    return proj_->forward(attend(qkv[0], qkv[1], qkv[2]).transpose(1, 2).reshape(x.sizes()));
  }

 private:
  at::Tensor attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) const {
    if (!rel_pos_h_.defined()) return at::scaled_dot_product_attention(query, key, value);
    if (folds(query)) return attend_with_folded_positions(query, key, value, rel_pos_h_, rel_pos_w_, places_);
    return attend_with_positions(query, key, value, rel_pos_h_, rel_pos_w_, places_,
                                 query.is_cpu() ? bias_bytes_cpu : bias_bytes_device);
  }
  bool folds(const at::Tensor& query) const {
    const auto where = folding.load();
    return !query.is_cpu() && query.scalar_type() != at::kFloat &&
           (where == PositionFolding::everywhere || (where == PositionFolding::global_layers && global_));
  }

  std::int64_t heads_;
  bool global_;
  GridPlaces places_;
  std::shared_ptr<Linear> qkv_, proj_;
  at::Tensor rel_pos_h_, rel_pos_w_;
};

}  // namespace

GridPlaces::GridPlaces(std::int64_t side)
    : side_{side}, distances_{[side] { return make_distances(side); }}, marks_{[side] {
        return make_marks(side);
      }} {}

at::Tensor GridPlaces::by_distance(const at::Tensor& table) const {
  return table.index_select(0, distances_.on(table.device(), at::kLong)).view({side_, side_, -1});
}

PositionFolding fold_positions(PositionFolding where) {
  return folding.exchange(where);
}

at::Tensor attend_with_folded_positions(const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, const at::Tensor& rel_height,
                                        const at::Tensor& rel_width, const GridPlaces& places) {
  const auto batch = query.size(0), heads = query.size(1), width = query.size(3), side = places.side();
  const auto folded = width + 2 * side;
  const auto padded = (folded + width_multiple - 1) / width_multiple * width_multiple;
  const double root = std::sqrt(static_cast<double>(width));
  const auto grid = query.view({batch, heads, side, side, width});
  // [B, heads, y, x, side]: a product for every row (axis 2) or column (axis 3) of the grid, rounded once,
  // with the root in it.
  const auto along = [&](std::int64_t axis, const at::Tensor& table) {
    const auto rows = grid.movedim(axis, 0).reshape({side, batch * heads * side, width});
    return at::baddbmm(at::empty({}, query.options()), rows, places.by_distance(table).transpose(1, 2),
                       /*beta=*/0, /*alpha=*/root)
        .view({side, batch, heads, side, side})
        .movedim(0, axis);
  };
  const auto wide = at::empty({3, batch, heads, side * side, padded}, query.options());
  const auto queries = wide[0], keys = wide[1], values = wide[2];
  queries.slice(3, 0, width).copy_(query);
  const auto queries_on_grid = queries.view({batch, heads, side, side, padded});
  queries_on_grid.slice(4, width, width + side).copy_(along(2, rel_height));
  queries_on_grid.slice(4, width + side, folded).copy_(along(3, rel_width));
  keys.slice(3, 0, width).copy_(key);
  keys.slice(3, width, folded).copy_(places.marks(query.device(), query.scalar_type()));
  values.slice(3, 0, width).copy_(value);
  // What lies in memory could be infinite.
  values.slice(3, width).zero_();
  if (padded > folded) wide.slice(0, 0, 2).slice(4, folded).zero_();
  return at::scaled_dot_product_attention(queries, keys, values, {}, 0.0, /*is_causal=*/false, 1.0 / root)
      .slice(3, 0, width);
}

at::Tensor attend_with_positions(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& rel_height, const at::Tensor& rel_width,
                                 const GridPlaces& grid_places, std::int64_t bias_budget) {
  const auto side = grid_places.side(), places = side * side;
  const auto batch = query.size(0), heads = query.size(1);
  const auto by_row = grid_places.by_distance(rel_height), by_column = grid_places.by_distance(rel_width);
  const auto piece =
      piece_of(batch, heads, side, bias_budget / static_cast<std::int64_t>(query.element_size()));
  auto out = at::empty({batch, places, heads, query.size(3)}, query.options()).transpose(1, 2);
  // One piece of memory for all: fresh ones would cost more in page faults than in arithmetic.
  const auto memory = at::empty({piece.windows * piece.heads * piece.rows * side * places}, query.options());
  const auto work_on = [&](std::int64_t window, std::int64_t head, std::int64_t top) {
    const auto last = std::min(window + piece.windows, batch),
               last_head = std::min(head + piece.heads, heads);
    const auto bottom = std::min(top + piece.rows, side), rows = bottom - top;
    const auto part = [&](const at::Tensor& x) { return x.slice(0, window, last).slice(1, head, last_head); };
    const auto queries = part(query).slice(2, top * side, bottom * side);
    const auto grid = queries.reshape({last - window, last_head - head, rows, side, -1});
    // [windows, heads, y, x, side] each, spread over the keys' columns and rows.
    const auto along_y = at::einsum("bnyxd,ykd->bnyxk", {grid, by_row.slice(0, top, bottom)}).unsqueeze(-1);
    const auto along_x = at::einsum("bnyxd,xkd->bnyxk", {grid, by_column}).unsqueeze(-2);
    auto bias = memory.slice(0, 0, grid.size(0) * grid.size(1) * rows * side * places)
                    .view({grid.size(0), grid.size(1), rows, side, side, side});
    at::add_out(bias, along_y, along_x);
    part(out)
        .slice(2, top * side, bottom * side)
        .copy_(at::scaled_dot_product_attention(
            queries, part(key), part(value), bias.view({grid.size(0), grid.size(1), rows * side, places})));
  };
  for (std::int64_t window = 0; window < batch; window += piece.windows) {
    for (std::int64_t head = 0; head < heads; head += piece.heads) {
      for (std::int64_t top = 0; top < side; top += piece.rows) work_on(window, head, top);
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
        "attn", std::make_shared<GridAttention>(config, window_ > 0 ? window_ : config.grid(), window_ == 0));
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
