#include "models/text/clip_text.h"

#include "models/text/clip_layer.h"

namespace deda::models {

class ClipText::Transformer : public torch::nn::Module {
 public:
  explicit Transformer(const ClipTextConfig& config) {
    auto embeddings = std::make_shared<torch::nn::Module>("embeddings");
    tokens = embeddings->register_module("token_embedding",
                                         std::make_shared<Embedding>(config.vocab_size, config.hidden_size));
    positions = embeddings->register_module(
        "position_embedding", std::make_shared<Embedding>(config.positions, config.hidden_size));
    register_module("embeddings", embeddings);
    auto encoder = std::make_shared<torch::nn::Module>("encoder");
    layers = encoder->register_module("layers", std::make_shared<List<ClipLayer>>());
    const ClipLayerOptions layer{.width = config.hidden_size,
                                 .heads = config.heads,
                                 .inner = config.intermediate_size,
                                 .norm_epsilon = config.norm_epsilon,
                                 .quick_gelu = config.quick_gelu,
                                 .causal = true};
    for (std::int64_t i = 0; i < config.layers; ++i) layers->add(layer);
    register_module("encoder", encoder);
    final_norm = register_module("final_layer_norm",
                                 std::make_shared<LayerNorm>(config.hidden_size, config.norm_epsilon));
  }
  std::shared_ptr<Embedding> tokens, positions;
  std::shared_ptr<List<ClipLayer>> layers;
  std::shared_ptr<LayerNorm> final_norm;
};

ClipText::ClipText(const ClipTextConfig& config) : config_{config} {
  text_model_ = register_module("text_model", std::make_shared<Transformer>(config));
  if (config.projection > 0)
    text_projection_ = register_module(
        "text_projection", std::make_shared<Linear>(config.hidden_size, config.projection, false));
}

ClipText::~ClipText() = default;

ClipText::States ClipText::forward(const at::Tensor& ids, const at::Tensor& added) const {
  const auto& table = text_model_->tokens->weight;
  // The learned rows stand behind the frozen table; looked up apart, so that the table is never copied.
  auto x = at::embedding(table, ids.clamp_max(config_.vocab_size - 1));
  if (added.defined()) {
    const auto is_added = (ids >= config_.vocab_size).unsqueeze(-1);
    const auto rows = at::embedding(added.to(x.scalar_type()), (ids - config_.vocab_size).clamp_min(0));
    x = at::where(is_added, rows, x);
  }
  x = x + text_model_->positions->weight.slice(0, 0, ids.size(1));
  States states;
  for (std::size_t i = 0; i < text_model_->layers->size(); ++i) {
    if (i + 1 == text_model_->layers->size()) states.penultimate = x;
    x = (*text_model_->layers)[i].forward(x);
  }
  states.last = text_model_->final_norm->forward(x);
  const auto end = end_places(ids);
  states.pooled = states.last.gather(1, end.view({-1, 1, 1}).expand({-1, 1, config_.hidden_size})).squeeze(1);
  if (text_projection_) states.text_embeds = text_projection_->forward(states.pooled);
  return states;
}

at::Tensor ClipText::end_places(const at::Tensor& ids) const {
  return config_.eos_token_id == clip_old_eos_token_id
             ? ids.argmax(-1)
             : (ids == config_.eos_token_id).to(at::kInt).argmax(-1);
}

at::Tensor ClipText::token_row(std::int64_t id) const {
  return text_model_->tokens->weight.detach().select(0, id).clone();
}

std::string clip_text_name(const std::string& name) {
  if (name == "text_model.embeddings.position_ids" || name == "embeddings.position_ids") return {};
  if (name.rfind("text_model.", 0) == 0 || name.rfind("text_projection.", 0) == 0) return name;
  return "text_model." + name;
}

}  // namespace deda::models
