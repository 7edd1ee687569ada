// BERT's encoder (without pooler) as GroundingDINO uses it: a mask of its own for every token and given
// positions. Names as transformers' BertModel. Source: transformers models/bert/modeling_bert.py.
#pragma once

#include "models/layers.h"

namespace deda::models {

struct BertConfig {
  std::int64_t vocab_size = 30522, hidden_size = 768, layers = 12, heads = 12, intermediate_size = 3072;
  std::int64_t positions = 512, token_types = 2;
  double norm_epsilon = 1e-12;
};

class Bert : public torch::nn::Module {
 public:
  explicit Bert(const BertConfig& config);
  ~Bert() override;
  // ids, token_types, positions [B, N] int64; attends [B, N, N] bool -> [B, N, hidden].
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& token_types, const at::Tensor& positions,
                     const at::Tensor& attends) const;

 private:
  class Embeddings;
  class Layer;
  std::shared_ptr<Embeddings> embeddings_;
  std::shared_ptr<List<Layer>> layers_;
};

}  // namespace deda::models
