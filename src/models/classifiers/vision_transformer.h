// ViT-B/16 (Dosovitskiy et al. 2021), named and keyed exactly as torchvision's vit_b_16: class_token,
// conv_proj, encoder.pos_embedding, encoder.layers.encoder_layer_N.{ln_1, self_attention.{in_proj_weight,
// in_proj_bias, out_proj}, ln_2, mlp.0, mlp.3}, encoder.ln, heads.head. Norms before attention and MLP, exact
// GELU, no dropout; the logits come from the class token.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "models/classifiers/classifier.h"

namespace deda::models {

struct VisionTransformerSize {
  std::int64_t layers = 12;
  std::int64_t width = 768;
  std::int64_t heads = 12;
  std::int64_t mlp_width = 3072;
  std::int64_t patch = 16;  // pixels a side
};

// Parameters are not filled: call initialise() or load_weights() next. options.side: a multiple of the patch,
// ConfigError else; there is a position for each patch of such a picture, and forward() takes no other.
std::shared_ptr<Classifier> make_vit_b_16(const ClassifierOptions& options);
std::shared_ptr<Classifier> make_vision_transformer(const VisionTransformerSize& size,
                                                    const ClassifierOptions& options);

// Positions [1, 1 + n*n, width], the class token's first, as [1, 1 + places*places, width]: bicubic with
// aligned corners, as torchvision's interpolate_embeddings has it, in float32. ModelError where the number of
// positions is no square plus one.
at::Tensor resized_positions(const at::Tensor& positions, std::int64_t places);
// n of the above; 0 where there is none.
std::int64_t places_a_side(const at::Tensor& positions);

}  // namespace deda::models
