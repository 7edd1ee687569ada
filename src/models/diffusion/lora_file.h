// LoRA files: small changes of a network's matrices, W += scale * alpha / rank * up * down, as many programs
// share them. Read under three kinds of names, merged in float32, written again without loss.
//   diffusers  unet.MODULE.lora_A.weight / lora_B.weight (peft; text_encoder., text_encoder_2.,
//   base_model.model.)
//              and the older MODULE.lora.down.weight, attn1.processor.to_q_lora.down.weight,
//              lora_linear_layer.down.weight; alpha in the metadata `lora_adapter_metadata`, in
//              adapter_config.json (peft), or the rank. Source: diffusers loaders/lora_base.py, peft
//              LoraConfig.
//   kohya      lora_unet_MODULE_WITH_UNDERSCORES.lora_down.weight / lora_up.weight / alpha, lora_te_,
//   lora_te1_,
//              lora_te2_; SDXL's under the names of its original (input_blocks_4_1_...). Source: sd-scripts
//              networks/lora.py.
//   by_index   unet:33:up, text_encoder:0:down: the matrices in the order of the network's modules; may hold
//              embeddings too. Source: cloneofsimo/lora lora_diffusion/lora.py.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/diffusion/unet.h"
#include "models/text/clip_text.h"
#include "models/weights/tensor_file.h"

namespace deda::models {

enum class LoraNaming : std::uint8_t { diffusers, kohya, by_index };

// One matrix or kernel that changes. down [rank, in] or [rank, in, k, k], up [out, rank] or [out, rank, 1,
// 1].
struct LoraModule {
  std::string network;  // "unet", "text_encoder", "text_encoder_2"
  std::string name;  // in the file's words, "down_blocks.0.attentions.0...to_q" or with underscores or "33"
  at::Tensor down, up;
  double alpha = 0;  // over the rank, what up * down is scaled by; the rank where the file says nothing
};

struct LoraFile {
  std::filesystem::path path;
  LoraNaming naming = LoraNaming::diffusers;
  std::vector<LoraModule> modules{};
  NamedTensors embeddings{};  // learnt words beside it (by_index)
  NamedTensors tensors{};     // the file as it is
  std::map<std::string, std::string> metadata{};
};

// DataError lists everything that is wrong: halves without their other half, shapes that do not multiply,
// numbers that are not finite, and what is no plain LoRA (DoRA, LoHa, LoKr), by name.
LoraFile read_lora(const std::filesystem::path& path);
// The same tensors, types and metadata. Atomic; equal contents make equal bytes.
void write_lora(const std::filesystem::path& path, const LoraFile& file);

struct LoraTargets {
  UNet* unet = nullptr;
  std::vector<ClipText*> text_encoders;
};
struct LoraCounts {
  std::size_t unet = 0, text_encoders = 0;  // matrices that changed
};
// Adds the file to the networks, in float32, rounded once to their type. DataError lists modules that the
// networks do not have and shapes that do not fit; nothing is changed then. A file may leave networks alone.
LoraCounts apply_lora(const LoraTargets& networks, const LoraFile& file, double scale = 1.0);

// A UNet's module under the names of the original Stable Diffusion ("down_blocks.1.attentions.0.proj_in" is
// "input_blocks.4.1.proj_in" in SDXL), which Kohya's SDXL files use.
std::string original_name_of(const UNetConfig& config, const std::string& module);

}  // namespace deda::models
