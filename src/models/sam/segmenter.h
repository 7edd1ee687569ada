// Boxes in, masks out: Segment Anything (ViT-B, -L, -H) or MobileSAM with the pre- and post-processing of the
// originals. A picture is embedded once; any number of boxes, none included, are then cut out of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::models {

// A picture as the mask decoder sees it. Copies share the numbers.
struct SamEmbedding {
  at::Tensor features;        // [1, channels, grid, grid] on the segmenter's device and in its type
  int height = 0, width = 0;  // of the source picture
  int resized_height = 0, resized_width = 0;  // inside of the network's square
  at::Tensor pixel_values;  // [1, 3, S, S] float32 on the CPU, what the encoder saw; only if asked for
};

struct SamOptions {
  bool multimask = false;     // false: one mask a box, as Lang-SAM; true: the (three) alternatives
  bool centre_point = false;  // a positive point in the centre of each box beside its corners
};

// The masks of one box.
struct SamBoxMasks {
  std::vector<io::Image> masks;   // [1 or alternatives] of [H, W, 1] in source size: 255 object, 0 not
  std::vector<float> iou_scores;  // the network's own estimate of each mask's IoU, not clipped to 0..1
  std::size_t best() const;       // index of the highest score; the first of equals
};

// Raw tensors of all boxes for traces; float32 on the CPU.
struct SamTrace {
  at::Tensor input_boxes;   // [1, N, 4] xyxy in the network's square
  at::Tensor input_points;  // [1, N, 1, 2]; only with centre points, and input_labels [1, N, 1] int64, all 1
  at::Tensor input_labels;
  at::Tensor pred_masks;  // [1, N, M, grid * 4, grid * 4] logits
  at::Tensor iou_scores;  // [1, N, M]
};

// Thread-safe: every member function may be called from several threads at once; torch's own threads are
// those of the caller (at::set_num_threads).
class SamSegmenter {
 public:
  // A transformers folder (config.json, model.safetensors, preprocessor_config.json), a folder or file with
  // Meta's original names, or MobileSAM's under original names; which of them it is follows from the tensors.
  // DataError lists all that is missing, unused or misshapen in configuration and weights.
  explicit SamSegmenter(const std::filesystem::path& folder_or_file, at::Device device = at::kCPU,
                        at::ScalarType dtype = at::kFloat);
  ~SamSegmenter();
  SamSegmenter(SamSegmenter&&) noexcept;
  SamSegmenter& operator=(SamSegmenter&&) noexcept;

  // RGB pictures of any sizes -> one embedding each. The encoder runs on one picture at a time: several need
  // as much memory as one. DataError for a picture that is not RGB or has no pixels.
  std::vector<SamEmbedding> embed(const std::vector<io::Image>& pictures,
                                  bool keep_pixel_values = false) const;
  SamEmbedding embed(const io::Image& picture, bool keep_pixel_values = false) const;

  // Boxes: xyxy in source pixels, half open, not clipped; DataError lists those that are not finite or whose
  // corners are not top-left and bottom-right. Masks in the order of the boxes. `trace`, where given,
  // receives the raw tensors.
  using Box = std::array<double, 4>;
  std::vector<SamBoxMasks> segment(const SamEmbedding& embedding, const std::vector<Box>& boxes,
                                   const SamOptions& options = {}, SamTrace* trace = nullptr) const;
  // The same box by box, for more masks than fit into memory.
  using Receive = std::function<void(std::size_t box, SamBoxMasks&& masks)>;
  void segment_each(const SamEmbedding& embedding, const std::vector<Box>& boxes, const SamOptions& options,
                    const Receive& receive, SamTrace* trace = nullptr) const;

  bool is_mobile() const;                                   // TinyViT encoder
  const std::vector<std::filesystem::path>& files() const;  // weights, for identities
  std::string description() const;                          // one line for the log

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace deda::models
