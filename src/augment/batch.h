// What the input pipeline hands to the trainer: 8-bit pictures, soft labels and the draws that made them. No
// Torch.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <optional>
#include <vector>

#include "augment/draws.h"
#include "mixing/batch_plan.h"

namespace deda::augment {

// Of a batch of an image-mixing method (augment.method; src/mixing).
struct BatchMix {
  mixing::BatchPlan plan;
  std::vector<std::int64_t> samples;  // sample number at every place of the global batch
  std::vector<std::uint32_t> places;  // [size + sources] of this batch's pictures, in the global batch
  // [size] of the own label and the partner's, where pixels are mixed already; empty where the device mixes.
  std::vector<mixing::LabelWeights> weights;
};

struct Batch {
  Batch() = default;
  // Pixels and labels lie in `memory`: pinned, where they travel to a GPU (device/host_memory.h).
  explicit Batch(std::pmr::memory_resource* memory) : pixels{memory}, labels{memory} {}

  std::int64_t size = 0;  // this rank's share
  // Pictures behind the share's: what a method that mixes on the device needs of the rest of the global batch
  // (training/mixing). Else 0.
  std::int64_t sources = 0;
  std::int32_t height = 0, width = 0, classes = 0;
  std::pmr::vector<std::uint8_t> pixels;  // [size + sources, height, width, 3] RGB
  // [size + sources, classes] One label per picture: rows sum to 1, before label smoothing. Several: 1
  // present, 0 absent, negative where an entry does not count.
  std::pmr::vector<float> labels;
  std::vector<Draws> draws;  // [size + sources] of the pictures as composed
  std::optional<BatchMix> mix;
};

}  // namespace deda::augment
