#include "models/grounding_dino/parts.h"

namespace deda::models {

GroundingDinoDecoderLayer::GroundingDinoDecoderLayer(const GroundingDinoConfig& config) {
  const auto width = config.width;
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<LayerNorm>(width, config.norm_epsilon));
  };
  self_ = register_module("self_attn", std::make_shared<DenseAttention>(width, config.decoder_heads));
  self_norm_ = norm("self_attn_layer_norm");
  text_ = register_module("encoder_attn_text", std::make_shared<DenseAttention>(width, config.decoder_heads));
  text_norm_ = norm("encoder_attn_text_layer_norm");
  places_ =
      register_module("encoder_attn", std::make_shared<DeformableAttention>(
                                          width, config.decoder_heads, config.levels, config.decoder_points));
  places_norm_ = norm("encoder_attn_layer_norm");
  widen_ = register_module("fc1", std::make_shared<Linear>(width, config.decoder_inner));
  narrow_ = register_module("fc2", std::make_shared<Linear>(config.decoder_inner, width));
  final_norm_ = norm("final_layer_norm");
}

at::Tensor GroundingDinoDecoderLayer::forward(at::Tensor queries, const at::Tensor& position,
                                              const at::Tensor& boxes, const GroundingDinoPlaces& places,
                                              const GroundingDinoText& text) const {
  const auto placed = queries + position;
  queries = self_norm_->forward(queries + self_->forward(placed, placed, queries, {}));
  queries = text_norm_->forward(queries + text_->forward(queries + position, text.features, text.features,
                                                         text.real.unsqueeze(1).unsqueeze(1)));
  queries =
      places_norm_->forward(queries + places_->forward(queries + position, places.features, places.padding,
                                                       boxes, places.levels, places.extents));
  return final_norm_->forward(queries + narrow_->forward(widen_->forward(queries).relu_()));
}

}  // namespace deda::models
