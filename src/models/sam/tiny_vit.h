// MobileSAM's image encoder: TinyViT-5M without its classifier, under the original's names behind
// vision_encoder. Source: ChaoningZhang/MobileSAM mobile_sam/modeling/tiny_vit_sam.py; paper: Wu et al. 2022
// (TinyViT), 3.3.
#pragma once

#include "models/sam/config.h"
#include "models/sam/layers.h"

namespace deda::models {

class TinyVit : public SamEncoder {
 public:
  explicit TinyVit(const TinyVitConfig& config);
  ~TinyVit() override;
  at::Tensor forward(const at::Tensor& pixel_values) const override;
  // Takes the running statistics of all batch norms into the convolutions before them: once, after loading
  // and in float32. Only then may forward() be called. Called again it changes nothing.
  void fold();

 private:
  class Stem;
  class Stage;
  std::shared_ptr<Stem> patch_embed_;
  std::shared_ptr<List<Stage>> layers_;
  std::shared_ptr<SamNeck> neck_;
};

}  // namespace deda::models
