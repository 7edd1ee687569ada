// What the input pipeline hands to the trainer: 8-bit pictures, soft labels and the draws that made them. No
// Torch.
#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace deda::augment {

// One sample's random decisions and their results, complete enough to render it again; names as in
// reference/traces
// (`draw.*`). Boxes are x, y, w, h on the canvas before the final flip.
struct Draws {
  std::int64_t index = -1;  // position in the training list
  std::int32_t epoch = 0;
  bool augmented = false;    // false: natural image
  std::int32_t version = 0;  // 0 real, 1..K synthetic
  std::int64_t mix = -1;     // training index of the second CDP, -1 none
  std::int32_t mix_version = 0;
  std::int64_t cip = -1;  // training index of the CIP donor
  double u1 = 0, u2 = 0;  // size: longer side of the box / shorter canvas side
  std::array<std::int32_t, 4> box1{}, box2{};
  bool flip1 = false, flip2 = false;
  double angle1 = 0, angle2 = 0;  // degrees, counter-clockwise
  std::int32_t crop_x = 0, crop_y = 0;
  bool flip = false;                  // final flip of the whole canvas
  std::int64_t area1 = 0, area2 = 0;  // visible pixels (blurred alpha > 0.5)
};

struct Batch {
  Batch() = default;
  // Pixels and labels lie in `memory`: pinned, where they travel to a GPU (device/host_memory.h).
  explicit Batch(std::pmr::memory_resource* memory) : pixels{memory}, labels{memory} {}

  std::int64_t size = 0;
  std::int32_t height = 0, width = 0, classes = 0;
  std::pmr::vector<std::uint8_t> pixels;  // [size, height, width, 3] RGB
  std::pmr::vector<float> labels;         // [size, classes], rows sum to 1, before label smoothing
  std::vector<Draws> draws;               // [size]
};

}  // namespace deda::augment
