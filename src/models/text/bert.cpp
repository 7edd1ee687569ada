#include "models/text/bert.h"

namespace deda::models {
namespace {

// `weight` and `bias` of a linear layer and of the norm behind its residual, as BERT names its outputs.
class Output : public torch::nn::Module {
 public:
  Output(std::int64_t in, std::int64_t width, double epsilon) {
    dense_ = register_module("dense", std::make_shared<Linear>(in, width));
    norm_ = register_module("LayerNorm", std::make_shared<LayerNorm>(width, epsilon));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual) const {
    return norm_->forward(dense_->forward(x) + residual);
  }

 private:
  std::shared_ptr<Linear> dense_;
  std::shared_ptr<LayerNorm> norm_;
};

class Attention : public torch::nn::Module {
 public:
  explicit Attention(const BertConfig& config) : heads_{config.heads} {
    const auto width = config.hidden_size;
    auto self = std::make_shared<torch::nn::Module>("self");
    query_ = self->register_module("query", std::make_shared<Linear>(width, width));
    key_ = self->register_module("key", std::make_shared<Linear>(width, width));
    value_ = self->register_module("value", std::make_shared<Linear>(width, width));
    register_module("self", self);
    output_ = register_module("output", std::make_shared<Output>(width, width, config.norm_epsilon));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) const {
    return output_->forward(
        attend_masked(query_->forward(x), key_->forward(x), value_->forward(x), heads_, mask), x);
  }

 private:
  std::int64_t heads_;
  std::shared_ptr<Linear> query_, key_, value_;
  std::shared_ptr<Output> output_;
};

}  // namespace

class Bert::Embeddings : public torch::nn::Module {
 public:
  explicit Embeddings(const BertConfig& config) {
    const auto width = config.hidden_size;
    words = register_module("word_embeddings", std::make_shared<Embedding>(config.vocab_size, width));
    positions = register_module("position_embeddings", std::make_shared<Embedding>(config.positions, width));
    types = register_module("token_type_embeddings", std::make_shared<Embedding>(config.token_types, width));
    norm = register_module("LayerNorm", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }
  std::shared_ptr<Embedding> words, positions, types;
  std::shared_ptr<LayerNorm> norm;
};

class Bert::Layer : public torch::nn::Module {
 public:
  explicit Layer(const BertConfig& config) {
    attention_ = register_module("attention", std::make_shared<Attention>(config));
    auto intermediate = std::make_shared<torch::nn::Module>("intermediate");
    widen_ = intermediate->register_module(
        "dense", std::make_shared<Linear>(config.hidden_size, config.intermediate_size));
    register_module("intermediate", intermediate);
    output_ = register_module("output", std::make_shared<Output>(config.intermediate_size, config.hidden_size,
                                                                 config.norm_epsilon));
  }
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) const {
    const auto attended = attention_->forward(x, mask);
    return output_->forward(at::gelu(widen_->forward(attended)), attended);
  }

 private:
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Linear> widen_;
  std::shared_ptr<Output> output_;
};

Bert::Bert(const BertConfig& config) {
  embeddings_ = register_module("embeddings", std::make_shared<Embeddings>(config));
  auto encoder = std::make_shared<torch::nn::Module>("encoder");
  layers_ = encoder->register_module("layer", std::make_shared<List<Layer>>());
  for (std::int64_t i = 0; i < config.layers; ++i) layers_->add(config);
  register_module("encoder", encoder);
}

Bert::~Bert() = default;

at::Tensor Bert::forward(const at::Tensor& ids, const at::Tensor& token_types, const at::Tensor& positions,
                         const at::Tensor& attends) const {
  auto x = embeddings_->norm->forward(at::embedding(embeddings_->words->weight, ids) +
                                      at::embedding(embeddings_->types->weight, token_types) +
                                      at::embedding(embeddings_->positions->weight, positions));
  const auto mask = attends.unsqueeze(1);
  for (const auto& layer : *layers_) x = layer->forward(x, mask);
  return x;
}

}  // namespace deda::models
