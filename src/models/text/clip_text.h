// CLIP's text encoders: CLIP-L of SD1.5 and SDXL, OpenCLIP bigG of SDXL, under transformers' tensor names as
// published (prefix text_model.). Source: transformers models/clip/modeling_clip.py.
#pragma once

#include "models/layers.h"
#include "models/text/clip_text_config.h"
#include "models/weights/weight_files.h"

namespace deda::models {

class ClipText : public torch::nn::Module {
 public:
  explicit ClipText(const ClipTextConfig& config);
  ~ClipText() override;
  struct States {
    at::Tensor last;         // [B, N, hidden] after the final norm: SD1.5's condition
    at::Tensor penultimate;  // [B, N, hidden] output of the last layer but one, no norm: SDXL's condition
    at::Tensor pooled;       // [B, hidden] of `last` at the end token
    at::Tensor text_embeds;  // [B, projection]; undefined without a projection
  };
  // ids [B, N] int64, N <= positions. Ids from vocab_size upward are rows of `added` [n, hidden]; they may
  // require gradients.
  States forward(const at::Tensor& ids, const at::Tensor& added = {}) const;
  // Where `pooled` is taken: ids [B, N] -> [B] int64, the first end token (with the old id 2: the first of
  // the largest ids; without an end token: 0), as transformers.
  at::Tensor end_places(const at::Tensor& ids) const;
  at::Tensor token_row(std::int64_t id) const;  // [hidden], a copy
  const ClipTextConfig& config() const { return config_; }

 private:
  class Transformer;
  ClipTextConfig config_;
  std::shared_ptr<Transformer> text_model_;
  std::shared_ptr<Linear> text_projection_;
};

// Published names are the network's; position_ids (a constant buffer) is passed over, a missing prefix is
// added.
std::string clip_text_name(const std::string& name);

}  // namespace deda::models
