// Points, boxes and masks as the mask decoder takes them, under transformers' names (prefix prompt_encoder.,
// and shared_image_embedding. for the random frequencies). Source: transformers SamPromptEncoder.
#pragma once

#include <optional>

#include "models/sam/config.h"
#include "models/sam/layers.h"

namespace deda::models {

// Places as sines and cosines of random frequencies, which are part of the weights.
class SamPositions : public torch::nn::Module {
 public:
  explicit SamPositions(std::int64_t width);
  // [..., 2] (x, y) in 0..1 -> [..., width]; computed in float32 at least, given in the weights' type.
  at::Tensor forward(const at::Tensor& places) const;
  // Centres of the places of a grid: [1, grid * grid, width].
  at::Tensor of_grid(std::int64_t grid) const;

 private:
  at::Tensor positional_embedding_;  // [2, width / 2]
};

// All coordinates in pixels of the network's square. Undefined tensors stand for prompts that are not given.
struct SamPrompts {
  at::Tensor boxes;   // [B, N, 4] xyxy
  at::Tensor points;  // [B, N, P, 2] xy
  at::Tensor labels;  // [B, N, P] int64: 1 inside, 0 outside, -1 no point, -10 filler
  at::Tensor masks;   // [B, 1, 4 * grid, 4 * grid] logits
};

class SamPromptEncoder : public torch::nn::Module {
 public:
  explicit SamPromptEncoder(const SamPromptConfig& config);
  ~SamPromptEncoder() override;
  // [B, N, tokens, width], points before the corners of the box; undefined without points and boxes.
  at::Tensor tokens(const SamPrompts& prompts, const SamPositions& positions) const;
  // Added to the picture's embedding: [B or 1, width, grid, grid or 1, 1].
  at::Tensor dense(const at::Tensor& masks) const;

 private:
  class MaskEmbedding;
  at::Tensor of_points(const SamPrompts& prompts, const SamPositions& positions) const;
  at::Tensor of_boxes(const at::Tensor& boxes, const SamPositions& positions) const;
  SamPromptConfig config_;
  std::shared_ptr<List<Embedding>> point_embed_;
  std::shared_ptr<Embedding> not_a_point_embed_, no_mask_embed_;
  std::shared_ptr<MaskEmbedding> mask_embed_;
};

}  // namespace deda::models
