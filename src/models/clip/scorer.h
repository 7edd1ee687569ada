// A CLIP from its folder, whole: pictures and texts in, how well they go together out. What the filters of
// generated pictures (diffusion/peers/clip_filter.h) and distances between pictures need.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::models {

// Thread-safe: every member function may be called from several threads at once; torch's own threads are
// those of the caller (at::set_num_threads). Weights are float32; results are float32 on the CPU.
class ClipScorer {
 public:
  // A transformers folder: config.json, model.safetensors, preprocessor_config.json, vocab.json, merges.txt.
  // DataError lists all that is missing, unused, misshapen or does not fit together.
  explicit ClipScorer(const std::filesystem::path& folder, at::Device device = at::kCPU);
  ~ClipScorer();
  ClipScorer(ClipScorer&&) noexcept;
  ClipScorer& operator=(ClipScorer&&) noexcept;

  // RGB pictures of any sizes -> [N, D], not normalised; D = embedding_width(). They run in batches of
  // pictures_per_pass in the order given; sums depend on a batch's shape, so the same bytes need the same
  // pictures in the same call. `pixel_values`, where given, receives [N, 3, S, S], what the network saw.
  // DataError lists the pictures that are not RGB or have no pixels.
  at::Tensor image_embeds(const std::vector<io::Image>& pictures, at::Tensor* pixel_values = nullptr) const;
  static constexpr std::int64_t pictures_per_pass = 16;

  // Texts -> [M, D], not normalised; padded to the longest, as CLIPProcessor does. ConfigError lists the
  // texts with more tokens than the network takes: the original refuses them too.
  at::Tensor text_embeds(const std::vector<std::string>& texts) const;

  // [N, D], [M, D] -> [N, M]: softmax over the texts of exp(logit_scale) times the cosine. NaN where an
  // embedding has length 0.
  at::Tensor probabilities(const at::Tensor& image_embeds, const at::Tensor& text_embeds) const;

  std::int64_t embedding_width() const;
  std::int64_t most_tokens() const;                         // of a text, start and end token included
  const std::vector<std::filesystem::path>& files() const;  // weights, for identities
  std::string description() const;                          // one line for the log

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace deda::models
