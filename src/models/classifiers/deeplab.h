// DeepLabV3 on MobileNetV2 (Chen et al. 2017, Sandler et al. 2018) for pictures of any size: which of the
// network's classes each pixel shows. Real masks on real photographs without SAM, in a fraction of a second
// on a processor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "models/classifiers/exported_graph.h"

namespace deda::models {

// What the network says about one picture.
struct SemanticMap {
  io::Image labels;   // [H, W, 1] class index per pixel of the source picture
  at::Tensor input;   // [S, S, 3] uint8 on the CPU, what the network saw; only if asked for
  at::Tensor logits;  // [classes, h, w] float32 on the CPU; only if asked for
};

class DeepLab {
 public:
  // A folder as exported_graph.h describes. DataError as there, and where the network has more than 256
  // classes.
  explicit DeepLab(const std::filesystem::path& folder, at::Device device = at::kCPU,
                   at::ScalarType dtype = at::kFloat);

  // RGB pictures of any sizes, as one batch. Each is stretched to the network's square by Pillow's bilinear
  // filter; the arg max there goes back to the source size by nearest neighbour. DataError for a picture that
  // is not RGB or has no pixels. Safe from several threads at once.
  std::vector<SemanticMap> segment(const std::vector<const io::Image*>& pictures,
                                   bool keep_tensors = false) const;

  const std::vector<std::string>& labels() const { return graph_.labels(); }

 private:
  ExportedGraph graph_;
};

}  // namespace deda::models
