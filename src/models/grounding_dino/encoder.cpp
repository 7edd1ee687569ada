#include "models/grounding_dino/parts.h"

namespace deda::models {
namespace {

// Attention in both directions between picture and text. The originals compute the logits once, subtract the
// batch's maximum and clamp at 50000 for half precision's sake; a softmax does not notice either, so that two
// fused attentions give the same without a [places, tokens] matrix in memory.
class FusionAttention : public torch::nn::Module {
 public:
  explicit FusionAttention(const GroundingDinoConfig& config) : heads_{config.text_heads()} {
    const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
      return register_module(name, std::make_shared<Linear>(in, out));
    };
    const auto width = config.width, inner = config.text_inner();
    vision_ = linear("vision_proj", width, inner);
    text_ = linear("text_proj", width, inner);
    vision_values_ = linear("values_vision_proj", width, inner);
    text_values_ = linear("values_text_proj", width, inner);
    vision_out_ = linear("out_vision_proj", inner, width);
    text_out_ = linear("out_text_proj", inner, width);
  }
  struct Changes {
    at::Tensor vision, text;
  };
  Changes forward(const at::Tensor& vision, const at::Tensor& text, const at::Tensor& real_places,
                  const at::Tensor& real_tokens) const {
    const auto place = vision_->forward(vision), token = text_->forward(text);
    return {
        vision_out_->forward(attend_masked(place, token, text_values_->forward(text), heads_, real_tokens)),
        text_out_->forward(
            attend_masked(token, place, vision_values_->forward(vision), heads_, real_places))};
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> vision_, text_, vision_values_, text_values_, vision_out_, text_out_;
};

}  // namespace

class GroundingDinoEncoderLayer::Fusion : public torch::nn::Module {
 public:
  explicit Fusion(const GroundingDinoConfig& config) {
    const auto options = parameter_options();
    vision_norm_ =
        register_module("layer_norm_vision", std::make_shared<LayerNorm>(config.width, config.norm_epsilon));
    text_norm_ =
        register_module("layer_norm_text", std::make_shared<LayerNorm>(config.width, config.norm_epsilon));
    attention_ = register_module("attn", std::make_shared<FusionAttention>(config));
    vision_scale_ = register_parameter("vision_param", at::empty({config.width}, options));
    text_scale_ = register_parameter("text_param", at::empty({config.width}, options));
  }
  // The normalised features are the residuals too.
  void forward(GroundingDinoPlaces& places, GroundingDinoText& text) const {
    const auto vision = vision_norm_->forward(places.features), words = text_norm_->forward(text.features);
    const auto changes =
        attention_->forward(vision, words, places.real(), text.real.unsqueeze(1).unsqueeze(1));
    places.features = vision + vision_scale_ * changes.vision;
    text.features = words + text_scale_ * changes.text;
  }

 private:
  std::shared_ptr<LayerNorm> vision_norm_, text_norm_;
  std::shared_ptr<FusionAttention> attention_;
  at::Tensor vision_scale_, text_scale_;
};

class GroundingDinoEncoderLayer::TextEnhancer : public torch::nn::Module {
 public:
  explicit TextEnhancer(const GroundingDinoConfig& config) {
    const auto width = config.width, inner = config.text_inner();
    attention_ = register_module("self_attn", std::make_shared<DenseAttention>(width, config.text_heads()));
    widen_ = register_module("fc1", std::make_shared<Linear>(width, inner));
    narrow_ = register_module("fc2", std::make_shared<Linear>(inner, width));
    // Both stand behind their residual, whatever the first one's name says.
    attention_norm_ =
        register_module("layer_norm_before", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    final_norm_ =
        register_module("layer_norm_after", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }
  void forward(GroundingDinoText& text, const at::Tensor& position) const {
    const auto placed = text.features + position;
    const auto attended = attention_norm_->forward(
        text.features + attention_->forward(placed, placed, text.features, text.attends.unsqueeze(1)));
    text.features = final_norm_->forward(attended + narrow_->forward(at::relu(widen_->forward(attended))));
  }

 private:
  std::shared_ptr<DenseAttention> attention_;
  std::shared_ptr<Linear> widen_, narrow_;
  std::shared_ptr<LayerNorm> attention_norm_, final_norm_;
};

class GroundingDinoEncoderLayer::DeformableLayer : public torch::nn::Module {
 public:
  explicit DeformableLayer(const GroundingDinoConfig& config) {
    const auto width = config.width;
    attention_ =
        register_module("self_attn", std::make_shared<DeformableAttention>(
                                         width, config.encoder_heads, config.levels, config.encoder_points));
    attention_norm_ =
        register_module("self_attn_layer_norm", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    widen_ = register_module("fc1", std::make_shared<Linear>(width, config.encoder_inner));
    narrow_ = register_module("fc2", std::make_shared<Linear>(config.encoder_inner, width));
    final_norm_ =
        register_module("final_layer_norm", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }
  void forward(GroundingDinoPlaces& places, const at::Tensor& reference) const {
    const auto& x = places.features;
    const auto attended =
        attention_norm_->forward(x + attention_->forward(x + places.position, x, places.padding, reference,
                                                         places.levels, places.extents));
    places.features = final_norm_->forward(attended + narrow_->forward(widen_->forward(attended).relu_()));
  }

 private:
  std::shared_ptr<DeformableAttention> attention_;
  std::shared_ptr<LayerNorm> attention_norm_, final_norm_;
  std::shared_ptr<Linear> widen_, narrow_;
};

GroundingDinoEncoderLayer::GroundingDinoEncoderLayer(const GroundingDinoConfig& config) {
  enhancer_ = register_module("text_enhancer_layer", std::make_shared<TextEnhancer>(config));
  fusion_ = register_module("fusion_layer", std::make_shared<Fusion>(config));
  deformable_ = register_module("deformable_layer", std::make_shared<DeformableLayer>(config));
}

GroundingDinoEncoderLayer::~GroundingDinoEncoderLayer() = default;

void GroundingDinoEncoderLayer::forward(GroundingDinoPlaces& places, GroundingDinoText& text,
                                        const at::Tensor& text_position, const at::Tensor& reference) const {
  fusion_->forward(places, text);
  enhancer_->forward(text, text_position);
  deformable_->forward(places, reference);
}

}  // namespace deda::models
