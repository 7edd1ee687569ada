// What stands before and behind SAM: pictures and boxes into the network's square, mask logits back to the
// picture. Sources: segment-anything utils/transforms.py and modeling/sam.py, transformers SamImageProcessor,
// which agree: the longer side becomes `longest_edge` with Pillow's bilinear filter, sides are rounded by
// int(x + 0.5), zeros are added right and below after normalising.
// Where they differ, in the last bits only: Meta subtracts and divides in 0..255, transformers' fast
// processor does the same with 255 * mean and 255 * std in float32, its Pillow processor scales to 0..1
// first; Meta moves boxes in float32, transformers in float64. Here: 255 * mean and 255 * std, boxes in
// float64 rounded to float32 once. transformers' fast processor also resizes with torchvision, one grey level
// apart in places; here it is Pillow, as Meta's.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "io/pictures/image.h"

namespace deda::models {

// preprocessor_config.json (or the image_processor of processor_config.json).
struct SamPreprocessing {
  std::int64_t longest_edge = 1024, image_size = 1024;  // of the picture, and of the square it is padded to
  std::array<double, 3> mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};  // of numbers in 0..1
  double rescale_factor = 1.0 / 255.0;
};
// Defaults for a lone file and where the folder has neither file. `image_size` is the network's; 0: what the
// file says, else 1024. DataError lists what is malformed, does not fit or is not what this program does.
SamPreprocessing read_sam_preprocessing(const std::filesystem::path& folder_or_file,
                                        std::int64_t image_size = 0);

struct SamSize {
  int height = 0, width = 0;
};
// Inside of the square; a side that would vanish (beyond 1 : 2 * longest_edge) keeps one pixel.
SamSize sam_resized(int height, int width, std::int64_t longest_edge);

struct SamPicture {
  at::Tensor pixel_values;  // [1, 3, S, S] float32
  SamSize resized;
};
// An RGB picture; DataError for any other.
SamPicture sam_picture(const io::Image& picture, const SamPreprocessing& preprocessing);

// Source pixels to pixels of the square; not clipped. Boxes xyxy -> [1, N, 4] float32.
at::Tensor sam_boxes(const std::vector<std::array<double, 4>>& boxes, SamSize source, SamSize resized);
// Points xy, one for each prompt -> [1, N, 1, 2] float32.
at::Tensor sam_points(const std::vector<std::array<double, 2>>& points, SamSize source, SamSize resized);

// Logits [N, M, h, w] -> [N, M, H, W] float32 in source size: bilinear to the square, padding cut, bilinear
// to the source, neither with aligned corners. A mask is where they are > 0.
at::Tensor sam_source_logits(const at::Tensor& logits, std::int64_t image_size, SamSize resized,
                             SamSize source);

}  // namespace deda::models
