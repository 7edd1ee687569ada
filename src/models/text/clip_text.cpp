#include "models/text/clip_text.h"

#include "models/weights/json_config.h"

namespace deda::models {
namespace {

constexpr double quick_gelu_slope = 1.702;
constexpr std::int64_t old_eos_token_id = 2;  // in published configs: means "the largest id" to transformers

class SelfAttention : public torch::nn::Module {
 public:
  SelfAttention(std::int64_t width, std::int64_t heads) : heads_{heads} {
    k_ = register_module("k_proj", std::make_shared<Linear>(width, width));
    v_ = register_module("v_proj", std::make_shared<Linear>(width, width));
    q_ = register_module("q_proj", std::make_shared<Linear>(width, width));
    out_ = register_module("out_proj", std::make_shared<Linear>(width, width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    return out_->forward(attend(q_->forward(x), k_->forward(x), v_->forward(x), heads_, /*causal=*/true));
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> q_, k_, v_, out_;
};

class Mlp : public torch::nn::Module {
 public:
  Mlp(std::int64_t width, std::int64_t inner, bool quick_gelu) : quick_gelu_{quick_gelu} {
    fc1_ = register_module("fc1", std::make_shared<Linear>(width, inner));
    fc2_ = register_module("fc2", std::make_shared<Linear>(inner, width));
  }
  at::Tensor forward(const at::Tensor& x) const {
    const auto h = fc1_->forward(x);
    return fc2_->forward(quick_gelu_ ? h * at::sigmoid(quick_gelu_slope * h) : at::gelu(h));
  }

 private:
  bool quick_gelu_;
  std::shared_ptr<Linear> fc1_, fc2_;
};

class Layer : public torch::nn::Module {
 public:
  explicit Layer(const ClipTextConfig& config) {
    const auto width = config.hidden_size;
    attention_ = register_module("self_attn", std::make_shared<SelfAttention>(width, config.heads));
    norm1_ = register_module("layer_norm1", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    mlp_ = register_module("mlp", std::make_shared<Mlp>(width, config.intermediate_size, config.quick_gelu));
    norm2_ = register_module("layer_norm2", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }
  at::Tensor forward(at::Tensor x) const {
    x = x + attention_->forward(norm1_->forward(x));
    return x + mlp_->forward(norm2_->forward(x));
  }

 private:
  std::shared_ptr<SelfAttention> attention_;
  std::shared_ptr<Mlp> mlp_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
};

}  // namespace

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
    layers = encoder->register_module("layers", std::make_shared<List<Layer>>());
    for (std::int64_t i = 0; i < config.layers; ++i) layers->add(config);
    register_module("encoder", encoder);
    final_norm = register_module("final_layer_norm",
                                 std::make_shared<LayerNorm>(config.hidden_size, config.norm_epsilon));
  }
  std::shared_ptr<Embedding> tokens, positions;
  std::shared_ptr<List<Layer>> layers;
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
  const auto end = config_.eos_token_id == old_eos_token_id
                       ? ids.argmax(-1)
                       : (ids == config_.eos_token_id).to(at::kInt).argmax(-1);
  states.pooled = states.last.gather(1, end.view({-1, 1, 1}).expand({-1, 1, config_.hidden_size})).squeeze(1);
  if (text_projection_) states.text_embeds = text_projection_->forward(states.pooled);
  return states;
}

at::Tensor ClipText::token_row(std::int64_t id) const {
  return text_model_->tokens->weight.detach().select(0, id).clone();
}

ClipTextConfig read_clip_text_config(const std::filesystem::path& file) {
  JsonConfig json(file);
  ClipTextConfig config;
  bool known = false, projected = false;
  const auto architectures = json.strings("architectures", {"CLIPTextModel"});
  for (const auto& name : architectures) {
    projected = projected || name == "CLIPTextModelWithProjection";
    known = known || name == "CLIPTextModel" || name == "CLIPTextModelWithProjection";
  }
  if (!known)
    json.problem("architectures", "this is not the configuration of a CLIP text encoder",
                 "Check which folder holds which part of the model.");
  config.vocab_size = json.integer("vocab_size", 49408);
  config.hidden_size = json.integer("hidden_size", 512);
  config.layers = json.integer("num_hidden_layers", 12);
  config.heads = json.integer("num_attention_heads", 8);
  config.intermediate_size = json.integer("intermediate_size", 2048);
  config.positions = json.integer("max_position_embeddings", 77);
  config.norm_epsilon = json.number("layer_norm_eps", 1e-5);
  config.eos_token_id = json.integer("eos_token_id", 49407);
  config.projection = projected ? json.integer("projection_dim", 512) : 0;
  const auto activation = json.text("hidden_act", "quick_gelu");
  config.quick_gelu = activation == "quick_gelu";
  if (!config.quick_gelu && activation != "gelu")
    json.problem("hidden_act", "\"" + activation + "\" is not supported", "Supported: quick_gelu, gelu.");
  if (config.hidden_size % config.heads != 0)
    json.problem("num_attention_heads", "does not divide hidden_size");
  json.finish();
  return config;
}

std::string to_json(const ClipTextConfig& config) {
  JsonText json;
  json.texts("architectures", {config.projection > 0 ? "CLIPTextModelWithProjection" : "CLIPTextModel"});
  json.integer("bos_token_id", config.eos_token_id - 1);
  json.integer("eos_token_id", config.eos_token_id);
  json.text("hidden_act", config.quick_gelu ? "quick_gelu" : "gelu");
  json.integer("hidden_size", config.hidden_size);
  json.integer("intermediate_size", config.intermediate_size);
  json.number("layer_norm_eps", config.norm_epsilon);
  json.integer("max_position_embeddings", config.positions);
  json.text("model_type", "clip_text_model");
  json.integer("num_attention_heads", config.heads);
  json.integer("num_hidden_layers", config.layers);
  json.integer("pad_token_id", config.eos_token_id);
  if (config.projection > 0) json.integer("projection_dim", config.projection);
  json.integer("vocab_size", config.vocab_size);
  return json.str();
}

std::string clip_text_name(const std::string& name) {
  if (name == "text_model.embeddings.position_ids" || name == "embeddings.position_ids") return {};
  if (name.rfind("text_model.", 0) == 0 || name.rfind("text_projection.", 0) == 0) return name;
  return "text_model." + name;
}

}  // namespace deda::models
