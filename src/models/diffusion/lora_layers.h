// LoRA that is being learnt: beside every attention projection of a UNet (attn1 and attn2: to_q, to_k, to_v,
// to_out.0) a pair of small matrices, y = W x + alpha / rank * up(down(x)), W frozen and not merged. Source:
// diffusers models/lora.py (LoRALinearLayer), models/attention_processor.py (LoRAAttnProcessor), with which
// Diff-Mix tunes (train_lora.py); peft's LoraLayer computes the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/diffusion/lora_file.h"
#include "models/diffusion/unet.h"

namespace deda::models {

struct LoraOptions {
  std::int64_t rank = 10;
  double alpha = 0;        // over the rank, the factor of the change; 0: the rank, so that the factor is 1
  std::uint64_t seed = 0;  // of the first values
};

struct LoraMatrix {
  std::string name;  // "down_blocks...attn1.processor.to_q_lora.down.weight", as old diffusers has it
  at::Tensor value;  // [rank, in] (down) or [out, rank] (up)
};

// Under which names a file is written; loaders of diffusers and peft read both, read_lora() too.
enum class LoraFileNames : std::uint8_t {
  processors,  // unet.MODULE.attn1.processor.to_q_lora.down.weight: Diff-Mix's, and every diffusers'
  peft,        // unet.MODULE.attn1.to_q.lora_A.weight, with lora_adapter_metadata
};

class LoraLayers {
 public:
  // Fresh ones: down normal with deviation 1/rank, up zero, so that the UNet computes what it did; a pure
  // function of (seed, matrix name). float32 on the UNet's device. The UNet must live as long, be frozen and
  // have no others; it is as it was when they end. ConfigError for a rank or an alpha that is none.
  LoraLayers(UNet& unet, const LoraOptions& options);
  // Those of a file, to go on with. DataError lists what this UNet does not have, has in another shape or is
  // missing, ranks and factors that differ, and modules that are no attention projections.
  LoraLayers(UNet& unet, const LoraFile& file);
  ~LoraLayers();
  LoraLayers(const LoraLayers&) = delete;
  LoraLayers& operator=(const LoraLayers&) = delete;

  std::int64_t rank() const { return rank_; }
  double alpha() const { return alpha_; }
  // All numbers in one piece, [P] float32, in the order of matrices(): one optimizer step, one message to
  // other ranks. Not for gradients.
  const at::Tensor& values() const { return values_; }
  // Views of values() by sorted block, then attn1, attn2, then to_q, to_k, to_v, to_out, down before up.
  // Gradients flow to them.
  const std::vector<LoraMatrix>& matrices() const { return matrices_; }
  std::vector<at::Tensor> parameters() const;

  // A copy as a file's content, for write_lora(). The old names have no place for alpha: there the factor
  // alpha / rank is multiplied into `up`.
  LoraFile file(LoraFileNames names = LoraFileNames::processors) const;

 private:
  struct Site;  // one projection
  static std::vector<Site> sites_of(const UNet& unet);
  void attach(const std::vector<Site>& sites);

  UNet& unet_;
  std::int64_t rank_ = 0;
  double alpha_ = 0;
  at::Tensor values_;
  std::vector<LoraMatrix> matrices_;
};

}  // namespace deda::models
