// LayerDiffuse's changes of the UNet's attention (which make it draw with transparency).
//   SD1.5  layer_sd15_transparent_attn: rank-256 LoRA on q, k, v and out of all 32 attentions, and a temporal
//          branch behind each that, for a single picture, folds into one norm and one linear layer.
//   SDXL   ld_diffusers_sdxl_attn / _conv: plain offsets under diffusers' names; layer_xl_transparent_attn:
//          rank-256 LoRA under the names of the webui.
// Sources: sd-forge-layerdiffuse lib_layerdiffusion/attention_sharing.py; LayerDiffuse_DiffusersCLI
// demo_sdxl_i2i.py.
#pragma once

#include <filesystem>

#include "models/diffusion/unet.h"

namespace deda::models {

enum class LayerDiffuseKind : std::uint8_t { attention_replacement, offsets, webui_lora };

// Looks at the file's names. DataError when it is none of the three.
LayerDiffuseKind layer_diffuse_kind(const std::filesystem::path& file);

// Merges the file into the network, in float32, rounded once to the network's type. `gain` scales what is
// added (1: as published). Every tensor of the file must fit and every expected one be there: DataError lists
// all that do not, and the network is unchanged then.
LayerDiffuseKind apply_layer_diffuse(UNet& network, const std::filesystem::path& file, double gain = 1.0);

// Diffusers' name of transformer block number `index` / 2 in the order of the SD1.5 file: down path, up path,
// mid block.
std::vector<UNet::AttentionSite> sites_in_layer_diffuse_order(const UNet& network);

// Webui's name of an SDXL tensor ("input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight") to diffusers'.
std::string diffusers_name_of_sdxl(const std::string& webui_name);

}  // namespace deda::models
