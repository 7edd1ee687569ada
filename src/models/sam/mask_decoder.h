// SAM's mask decoder: tokens and picture attend to each other both ways; every mask token becomes the weights
// of an inner product with the enlarged picture. Under transformers' names (prefix mask_decoder.). Source:
// transformers SamMaskDecoder, SamTwoWayTransformer.
#pragma once

#include "models/sam/config.h"
#include "models/sam/layers.h"

namespace deda::models {

class SamMaskDecoder : public torch::nn::Module {
 public:
  explicit SamMaskDecoder(const SamDecoderConfig& config);
  ~SamMaskDecoder() override;
  struct Masks {
    at::Tensor logits;      // [N, M, 4 * grid, 4 * grid]
    at::Tensor iou_scores;  // [N, M], the network's estimates
  };
  // Prompts of one picture: image [1, C, grid, grid] with the dense prompt added, positions
  // [1, grid * grid, C], prompts [N, tokens, C] (undefined: one prompt without tokens). M is 1 (the token for
  // unambiguous prompts), or with `multimask` the number of alternatives.
  Masks forward(const at::Tensor& image, const at::Tensor& positions, const at::Tensor& prompts,
                bool multimask) const;

 private:
  class Transformer;
  class FeedForward;
  std::shared_ptr<Embedding> iou_token_, mask_tokens_;
  std::shared_ptr<Transformer> transformer_;
  std::shared_ptr<DoublingConvolution> upscale_conv1_, upscale_conv2_;
  std::shared_ptr<ChannelNorm> upscale_layer_norm_;
  std::shared_ptr<List<FeedForward>> hypernetworks_;
  std::shared_ptr<FeedForward> iou_head_;
};

}  // namespace deda::models
