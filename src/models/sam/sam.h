// Segment Anything as a whole, under transformers' names (SamModel), with the ViT encoder or MobileSAM's.
#pragma once

#include <filesystem>

#include "models/sam/config.h"
#include "models/sam/mask_decoder.h"
#include "models/sam/prompt_encoder.h"
#include "models/weights/weight_files.h"

namespace deda::models {

class Sam : public torch::nn::Module {
 public:
  explicit Sam(const SamConfig& config);
  // pixel_values [B, 3, S, S] normalised and padded -> [B, C, grid, grid].
  at::Tensor embed(const at::Tensor& pixel_values) const { return vision_encoder_->forward(pixel_values); }
  struct Output {
    at::Tensor pred_masks;  // [B, N, M, 4 * grid, 4 * grid] logits
    at::Tensor iou_scores;  // [B, N, M]
  };
  // N prompts for each of B pictures; no points and no boxes: one prompt each. A mask prompt holds for all
  // prompts of its picture. N may be 0. As many prompts at a time as are given.
  Output segment(const at::Tensor& embeddings, const SamPrompts& prompts, bool multimask) const;
  const SamConfig& config() const { return config_; }
  // After loading (MobileSAM: batch norms are folded).
  void finish_loading();

 private:
  SamConfig config_;
  std::shared_ptr<SamPositions> positions_;
  std::shared_ptr<SamEncoder> vision_encoder_;
  std::shared_ptr<SamPromptEncoder> prompt_encoder_;
  std::shared_ptr<SamMaskDecoder> mask_decoder_;
};

// From the names of a file (transformers' or Meta's) to the network's; "" for what is passed over: pixel_mean
// and pixel_std, MobileSAM's classifier and computed buffers, the second copy of positional_embedding. A file
// may have either copy or both; DataError where the two differ.
Rename sam_rename(const WeightFiles& files, const SamConfig& config);

struct LoadedSam {
  std::shared_ptr<Sam> network;  // frozen
  std::vector<std::filesystem::path> files;
};
// A folder (config.json, else sizes from the tensors; model.safetensors, mobile_sam.safetensors or the only
// .safetensors file there) or a file.
LoadedSam load_sam(const std::filesystem::path& folder_or_file, at::Device device, at::ScalarType dtype);

}  // namespace deda::models
