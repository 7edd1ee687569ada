#include "models/sam/prompt_encoder.h"

#include <numbers>

namespace deda::models {
namespace {

constexpr double pixel_centre = 0.5;
constexpr std::int64_t no_point = -1, filler = -10;                                // labels
constexpr std::size_t outside = 0, inside = 1, first_corner = 2, last_corner = 3;  // rows of point_embed

}  // namespace

SamPositions::SamPositions(std::int64_t width) {
  positional_embedding_ =
      register_parameter("positional_embedding", at::empty({2, width / 2}, parameter_options()));
}

at::Tensor SamPositions::forward(const at::Tensor& places) const {
  // Half precision would move points by pixels: 11 bits for 1024 places, times large frequencies.
  const auto type = at::promoteTypes(positional_embedding_.scalar_type(), at::kFloat);
  const auto phase = 2 * std::numbers::pi * (2 * places.to(type) - 1).matmul(positional_embedding_.to(type));
  return at::cat({phase.sin(), phase.cos()}, -1).to(positional_embedding_.scalar_type());
}

at::Tensor SamPositions::of_grid(std::int64_t grid) const {
  const auto type = at::promoteTypes(positional_embedding_.scalar_type(), at::kFloat);
  const auto centres = (at::arange(grid, positional_embedding_.options().dtype(type)) + 0.5) / grid;
  const auto x = centres.unsqueeze(0).expand({grid, grid}), y = centres.unsqueeze(1).expand({grid, grid});
  return forward(at::stack({x, y}, -1).view({1, grid * grid, 2}));
}

// conv1, layer_norm1, conv2, layer_norm2, conv3: a quarter of the mask's size, GELU after the norms.
class SamPromptEncoder::MaskEmbedding : public torch::nn::Module {
 public:
  explicit MaskEmbedding(const SamPromptConfig& config) {
    const auto channels = config.mask_channels;
    conv1_ = register_module("conv1", std::make_shared<Convolution>(1, channels / 4, 2, 2));
    layer_norm1_ =
        register_module("layer_norm1", std::make_shared<ChannelNorm>(channels / 4, config.norm_epsilon));
    conv2_ = register_module("conv2", std::make_shared<Convolution>(channels / 4, channels, 2, 2));
    layer_norm2_ =
        register_module("layer_norm2", std::make_shared<ChannelNorm>(channels, config.norm_epsilon));
    conv3_ = register_module("conv3", std::make_shared<Convolution>(channels, config.hidden_size, 1));
  }
  at::Tensor forward(const at::Tensor& masks) const {
    const auto half = at::gelu(layer_norm1_->forward(conv1_->forward(masks)));
    return conv3_->forward(at::gelu(layer_norm2_->forward(conv2_->forward(half))));
  }

 private:
  std::shared_ptr<Convolution> conv1_, conv2_, conv3_;
  std::shared_ptr<ChannelNorm> layer_norm1_, layer_norm2_;
};

SamPromptEncoder::SamPromptEncoder(const SamPromptConfig& config) : config_{config} {
  const auto width = config.hidden_size;
  mask_embed_ = register_module("mask_embed", std::make_shared<MaskEmbedding>(config));
  no_mask_embed_ = register_module("no_mask_embed", std::make_shared<Embedding>(1, width));
  point_embed_ = register_module("point_embed", std::make_shared<List<Embedding>>());
  for (std::size_t i = 0; i <= last_corner; ++i) point_embed_->add(1, width);
  not_a_point_embed_ = register_module("not_a_point_embed", std::make_shared<Embedding>(1, width));
}

SamPromptEncoder::~SamPromptEncoder() = default;

at::Tensor SamPromptEncoder::of_points(const SamPrompts& prompts, const SamPositions& positions) const {
  auto points = prompts.points + pixel_centre;
  auto labels = prompts.labels;
  if (!prompts.boxes.defined()) {
    // Without a box the original appends a point that is none.
    points = at::constant_pad_nd(points, {0, 0, 0, 1});
    labels = at::constant_pad_nd(labels, {0, 1}, no_point);
  }
  const auto label = labels.unsqueeze(-1);
  auto code = positions.forward(points / config_.image_size);
  code = at::where(label == no_point, not_a_point_embed_->weight, code);
  code = at::where(label == filler, at::zeros_like(code), code);
  code = at::where(label == 0, code + (*point_embed_)[outside].weight, code);
  return at::where(label == 1, code + (*point_embed_)[inside].weight, code);
}

at::Tensor SamPromptEncoder::of_boxes(const at::Tensor& boxes, const SamPositions& positions) const {
  const auto corners = (boxes + pixel_centre).view({boxes.size(0), boxes.size(1), 2, 2});
  const auto kinds = at::cat({(*point_embed_)[first_corner].weight, (*point_embed_)[last_corner].weight});
  return positions.forward(corners / config_.image_size) + kinds;
}

at::Tensor SamPromptEncoder::tokens(const SamPrompts& prompts, const SamPositions& positions) const {
  if (!prompts.points.defined())
    return prompts.boxes.defined() ? of_boxes(prompts.boxes, positions) : at::Tensor();
  const auto points = of_points(prompts, positions);
  return prompts.boxes.defined() ? at::cat({points, of_boxes(prompts.boxes, positions)}, 2) : points;
}

at::Tensor SamPromptEncoder::dense(const at::Tensor& masks) const {
  if (masks.defined()) return mask_embed_->forward(masks);
  return no_mask_embed_->weight.view({1, -1, 1, 1});
}

}  // namespace deda::models
