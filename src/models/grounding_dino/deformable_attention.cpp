#include "models/grounding_dino/deformable_attention.h"

namespace deda::models {

at::Tensor extents_of(const std::vector<MapSize>& levels, at::Device device) {
  auto extents =
      at::empty({static_cast<std::int64_t>(levels.size()), 2}, at::TensorOptions(at::kFloat).device(device));
  // Filled number by number: a copy from the host's memory would wait for all that the device has to do.
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto level = extents[static_cast<std::int64_t>(i)];
    level[0].fill_(levels[i].width);
    level[1].fill_(levels[i].height);
  }
  return extents;
}

at::Tensor sample_deformably(const at::Tensor& value, const std::vector<MapSize>& levels,
                             const at::Tensor& locations, const at::Tensor& weights) {
  constexpr std::int64_t bilinear = 0, zeros = 0;  // grid_sample's numbers of these modes
  const auto batch = value.size(0), heads = value.size(2), width = value.size(3), queries = locations.size(1);
  auto sum = at::zeros({batch * heads, width, queries}, locations.options());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto level = static_cast<std::int64_t>(i);
    const auto map = value.slice(1, begin, begin + levels[i].places())
                         .permute({0, 2, 3, 1})
                         .to(locations.scalar_type())
                         .reshape({batch * heads, width, levels[i].height, levels[i].width});
    const auto grid = (2 * locations.select(3, level) - 1).transpose(1, 2).flatten(0, 1);
    const auto weight = weights.select(3, level).transpose(1, 2).flatten(0, 1).unsqueeze(1);
    sum += at::grid_sampler_2d(map, grid, bilinear, zeros, /*align_corners=*/false).mul_(weight).sum(-1);
    begin += levels[i].places();
  }
  return sum.view({batch, heads * width, queries}).transpose(1, 2);
}

DeformableAttention::DeformableAttention(std::int64_t width, std::int64_t heads, std::int64_t levels,
                                         std::int64_t points)
    : heads_{heads}, levels_{levels}, points_{points} {
  const auto samples = heads * levels * points;
  offsets_ = register_module("sampling_offsets", std::make_shared<Linear>(width, samples * 2));
  weights_ = register_module("attention_weights", std::make_shared<Linear>(width, samples));
  value_ = register_module("value_proj", std::make_shared<Linear>(width, width));
  output_ = register_module("output_proj", std::make_shared<Linear>(width, width));
}

at::Tensor DeformableAttention::forward(const at::Tensor& query, const at::Tensor& values,
                                        const at::Tensor& padding, const at::Tensor& reference,
                                        const std::vector<MapSize>& levels, const at::Tensor& extents) const {
  const auto batch = query.size(0), queries = query.size(1);
  auto value = value_->forward(values);
  if (padding.defined()) value = value.masked_fill(padding.unsqueeze(-1), 0);
  value = value.view({batch, value.size(1), heads_, value.size(2) / heads_});
  auto offsets = offsets_->forward(query).to(at::kFloat).view({batch, queries, heads_, levels_, points_, 2});
  const auto weights = weights_->forward(query)
                           .to(at::kFloat)
                           .view({batch, queries, heads_, levels_ * points_})
                           .softmax(-1)
                           .view({batch, queries, heads_, levels_, points_});
  const auto places = reference.unsqueeze(2).unsqueeze(4);  // [B, Q, 1, levels, 1, 2 or 4]
  if (reference.size(-1) == 2) {
    // Offsets count pixels of their level.
    offsets = offsets / extents.view({1, 1, 1, levels_, 1, 2});
  } else {
    // Offsets count half boxes, all points together.
    offsets = offsets / static_cast<double>(points_) * places.slice(-1, 2, 4) * 0.5;
  }
  const auto sampled = sample_deformably(value, levels, places.slice(-1, 0, 2) + offsets, weights);
  return output_->forward(sampled.to(query.scalar_type()));
}

}  // namespace deda::models
