// GroundingDINO: boxes for the phrases of a prompt (Liu et al. 2023, arXiv 2303.05499), Swin-T and Swin-B or
// any sizes of config.json, under the names of the published safetensors files; equal to transformers'
// GroundingDinoForObjectDetection. Inference only.
#pragma once

#include <filesystem>

#include "models/grounding_dino/config.h"
#include "models/grounding_dino/parts.h"

namespace deda::models {

class GroundingDino : public torch::nn::Module {
 public:
  explicit GroundingDino(const GroundingDinoConfig& config);

  // ids [B, N] int64, attention_mask [B, N] (1 real, 0 padding), token_types [B, N]; the last two may be
  // undefined: all real, all of type 0. Cut to max_text_len columns, after the sub-sentences are found.
  // Depends on the prompt alone. DataError where a sub-sentence is longer than the text encoder's positions.
  GroundingDinoText encode_text(const at::Tensor& ids, const at::Tensor& attention_mask = {},
                                const at::Tensor& token_types = {}) const;

  struct Output {
    at::Tensor logits;  // [B, queries, max_text_len] float32; -inf in columns without a token
    at::Tensor
        pred_boxes;  // [B, queries, 4] float32: centre x, centre y, width, height over the picture's size
    at::Tensor encoder_vision, encoder_text;  // [B, S, d], [B, N, d]: what the encoder made
    at::Tensor init_reference_points;         // [B, queries, 4] float32: the proposals the queries start from
  };
  // pixel_values [B, 3, H, W]; pixel_mask [B, H, W], non-zero where the picture is, or undefined: no padding.
  // DataError where the pictures give fewer places than there are queries.
  Output forward(const at::Tensor& pixel_values, const at::Tensor& pixel_mask, GroundingDinoText text) const;

  // Places of all levels for a picture of that size in pixels.
  std::int64_t places(std::int64_t height, std::int64_t width) const;
  const GroundingDinoConfig& config() const { return config_; }

 private:
  class Model;
  GroundingDinoPlaces encode_picture(const at::Tensor& pixel_values, const at::Tensor& pixel_mask) const;
  at::Tensor select_queries(const GroundingDinoPlaces& places, const GroundingDinoText& text) const;
  at::Tensor contrast(const at::Tensor& features, const GroundingDinoText& text) const;
  void decode(Output& output, const GroundingDinoPlaces& places, const GroundingDinoText& text) const;

  GroundingDinoConfig config_;
  std::shared_ptr<Model> model_;
  std::shared_ptr<List<Perceptron>> box_heads_;  // one, shared by all decoder layers
};

// The network of a folder (config.json, model.safetensors) in the given type, on the CPU, frozen. Accepted
// names: published ones of tiny and base, transformers 5.x's, the original's of the .pth files. DataError
// lists all that is missing, unused or misshapen.
std::shared_ptr<GroundingDino> load_grounding_dino(
    const std::filesystem::path& folder, at::ScalarType dtype,
    GroundingDinoRules rules = GroundingDinoRules::transformers);

}  // namespace deda::models
