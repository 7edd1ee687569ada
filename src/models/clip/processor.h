// Pictures as CLIP sees them: shorter side resized with Pillow's bicubic filter, the square in the middle,
// 0..1, mean and deviation. Source: transformers CLIPImageProcessorPil (image_transforms.py), to the last bit
// with Pillow up to 12; Pillow 13 takes the two passes of the filter in the other order for some shapes (see
// io/pictures/resize.h). transformers' default class resizes with torchvision, one grey level apart in
// places.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/pictures/image.h"

namespace deda::models {

struct ClipPreprocessing {
  std::int64_t shortest_edge = 224;  // of the resized picture
  std::int64_t crop_size = 224;      // of the square; zeros where the resized picture is smaller
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};  // of numbers in 0..1
  double rescale_factor = 1.0 / 255.0;
};

// preprocessor_config.json of a folder (or the image_processor of its processor_config.json); absent keys
// have the published values. `image_size`: the network's, which the square has to have; 0: not known.
// DataError lists what is missing, malformed or not what this program does.
ClipPreprocessing read_clip_preprocessing(const std::filesystem::path& folder, std::int64_t image_size);

std::string to_json(
    const ClipPreprocessing& preprocessing);  // preprocessor_config.json, as transformers reads it

// RGB pictures of any sizes -> [N, 3, crop_size, crop_size] float32. Only what the square shows is computed,
// so that a picture of 1 x 100,000 pixels costs no more than others. DataError lists the pictures that are
// not RGB or have no pixels.
at::Tensor clip_pixels(const std::vector<io::Image>& pictures, const ClipPreprocessing& preprocessing);

}  // namespace deda::models
