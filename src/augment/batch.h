// What the input pipeline hands to the trainer: 8-bit pictures, soft labels and the draws that made them. No
// Torch.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <vector>

#include "augment/draws.h"

namespace deda::augment {

struct Batch {
  Batch() = default;
  // Pixels and labels lie in `memory`: pinned, where they travel to a GPU (device/host_memory.h).
  explicit Batch(std::pmr::memory_resource* memory) : pixels{memory}, labels{memory} {}

  std::int64_t size = 0;
  std::int32_t height = 0, width = 0, classes = 0;
  std::pmr::vector<std::uint8_t> pixels;  // [size, height, width, 3] RGB
  // [size, classes] One label per picture: rows sum to 1, before label smoothing. Several: 1 present, 0
  // absent, negative where an entry does not count.
  std::pmr::vector<float> labels;
  std::vector<Draws> draws;  // [size]
};

}  // namespace deda::augment
