// CLIP: pictures and texts into one space, where their cosine says how well they go together. Tensor names
// exactly transformers' CLIPModel, the misspelt `vision_model.pre_layrnorm` included. Source: transformers
// models/clip/modeling_clip.py. Published: openai/clip-vit-base-patch32 (151,277,313 parameters),
// -base-patch16, -large-patch14.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/clip/config.h"
#include "models/layers.h"
#include "models/text/clip_text.h"

namespace deda::models {

class Clip : public torch::nn::Module {
 public:
  explicit Clip(const ClipConfig& config);
  ~Clip() override;
  // pixels [N, 3, S, S], normalised, S = vision.image_size -> [N, projection], not normalised.
  at::Tensor image_embeds(const at::Tensor& pixels) const;
  // ids [M, L] int64, L <= text.positions -> [M, projection], not normalised. What stands behind the end
  // token has no effect.
  at::Tensor text_embeds(const at::Tensor& ids) const;
  // exp(logit_scale) times the cosine of each picture to each text: [N, projection], [M, projection] ->
  // [N, M]. An embedding of length 0 gives NaN, as in transformers.
  at::Tensor logits_per_image(const at::Tensor& image_embeds, const at::Tensor& text_embeds) const;
  const ClipText& text() const { return *text_; }
  const ClipConfig& config() const { return config_; }

 private:
  class Vision;
  ClipConfig config_;
  std::shared_ptr<Vision> vision_model_;
  std::shared_ptr<ClipText> text_;  // its parts are this network's own children, under their published names
  std::shared_ptr<Linear> visual_projection_;
  at::Tensor logit_scale_;
};

struct LoadedClip {
  std::shared_ptr<Clip> network;             // frozen
  std::vector<std::filesystem::path> files;  // its weights
};
// A transformers folder: config.json and model.safetensors (fp16 variants and shards too). DataError lists
// all that is missing, unused or misshapen in either.
LoadedClip load_clip(const std::filesystem::path& folder, at::Device device = at::kCPU,
                     at::ScalarType dtype = at::kFloat);

}  // namespace deda::models
