// Which files make up a diffusion model, and what they hold as a whole. Opens no weights; no Torch.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_digests.h"
#include "diffusion/config.h"

namespace deda::diffusion {

enum class UNetWeights : std::uint8_t {
  merged,
  plain
};  // with LayerDiffuse's changes, or the base model's alone

// How pictures become latents: CDPs through LayerDiffuse's transparent networks, whole pictures through the
// autoencoder alone. A model for whole pictures needs no transparent networks, and its UNet may see a
// picture's latents beside the sample (InstructPix2Pix).
enum class LatentCodec : std::uint8_t { transparent, plain };

// One entry of models.lora: "file=scale" or "file".
struct LoraChoice {
  std::filesystem::path file;
  double scale = 1;
};
std::vector<LoraChoice> lora_choices(const ModelsConfig& config);

// SDXL's layout: two text encoders.
bool has_two_text_encoders(const ModelsConfig& config);

// models.transparent_encoder or the base folder's own; likewise the decoder.
std::filesystem::path transparent_encoder_file(const ModelsConfig& config);
std::filesystem::path transparent_decoder_file(const ModelsConfig& config);
// DataError naming the key that asked for a file that is not there.
void require_file(const std::filesystem::path& file, const char* key);
void require_folder(const ModelsConfig& config);

// A file and what it is to the model: "unet/config", "unet/weights 0", "text_encoder_2/weights 0",
// "tokenizer/vocabulary", "lora 0 at 0.8", "layer_diffuse", "transparent_decoder".
struct ModelFile {
  std::string role;
  std::filesystem::path path;
};
// DataError lists everything that is missing.
std::vector<ModelFile> model_files(const ModelsConfig& config, UNetWeights weights = UNetWeights::merged,
                                   LatentCodec codec = LatentCodec::transparent);

// Hash over roles and contents: files may be moved and renamed, one changed byte makes another model.
std::string model_identity(const std::vector<ModelFile>& files, FileDigests& digests);
std::string model_identity(const ModelsConfig& config, UNetWeights weights = UNetWeights::merged,
                           LatentCodec codec = LatentCodec::transparent);

// Pixels a side of the picture that the model was made for (unet/config.json, vae/config.json).
std::int64_t model_resolution(const ModelsConfig& config);
// Pixels a side must be a multiple of this: autoencoder, UNet and transparent decoder halve them that often.
std::int64_t resolution_multiple(const ModelsConfig& config, LatentCodec codec = LatentCodec::transparent);

}  // namespace deda::diffusion
