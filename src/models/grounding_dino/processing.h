// What stands before and behind the network GroundingDINO: pictures to pixel_values, prompts to ids, logits
// and boxes to detections. Sources: IDEA-Research/GroundingDINO (util/inference.py, datasets/transforms.py)
// and transformers' GroundingDinoImageProcessor and GroundingDinoProcessor; where they differ,
// GroundingDinoRules says whose way is gone.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "models/grounding_dino/rules.h"

namespace deda::models {

class BertTokenizer;

struct GroundingDinoThresholds {
  double box = 0.3;    // a box is kept when its highest token probability is above (Lang-SAM's default)
  double text = 0.25;  // a token belongs to the phrase of a box when its probability is above
};

// --- pictures ---

// preprocessor_config.json; absent keys have the published values.
struct GroundingDinoPictureConfig {
  std::int64_t shortest_edge = 800, longest_edge = 1333;
  std::array<double, 3> mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  double rescale_factor = 1.0 / 255.0;
};
GroundingDinoPictureConfig read_grounding_dino_picture_config(const std::filesystem::path& file);

struct PictureSize {
  std::int64_t height = 0, width = 0;
  bool clamped = false;  // a side would have become 0 and was set to 1
};
// The size a picture is resized to: short side to shortest_edge, unless the long side would pass
// longest_edge. A picture whose short side is right already stays as it is, even where that leaves the long
// side over the cap.
PictureSize grounding_dino_size(std::int64_t height, std::int64_t width,
                                const GroundingDinoPictureConfig& config, GroundingDinoRules rules);

// [3, H, W] float32, resized as Pillow does and normalised.
torch::Tensor grounding_dino_pixels(const io::Image& picture, const PictureSize& size,
                                    const GroundingDinoPictureConfig& config);

struct PictureBatch {
  torch::Tensor pixel_values;  // [B, 3, H, W] float32, zeros right of and below each picture
  torch::Tensor pixel_mask;    // [B, H, W] int64, 1 where the picture is
};
PictureBatch pad_to_batch(const std::vector<torch::Tensor>& pixels);

// --- prompts ---

// Lower case (Unicode), blanks trimmed, a dot at the end. "Bird" -> "bird."; ConfigError where no word is
// left.
std::string grounding_dino_prompt(const std::string& text);
// Labels of a dataset as one prompt: {"A cat", "dog"} -> "a cat. dog.".
std::string grounding_dino_prompt(const std::vector<std::string>& labels);

// --- results ---

struct GroundedBoxes {
  std::vector<std::array<float, 4>> boxes;  // x0, y0, x1, y1 in pixels of the source
  std::vector<float> scores;
  std::vector<std::string> phrases;
};
// logits [Q, T], boxes [Q, 4] (centre x, centre y, width, height in 0..1) of one picture of the given source
// size; ids: the prompt's. Columns 0 and T - 1 never enter a phrase.
// The original takes dots out of phrases, transformers leaves them. (The original's older tokenizer also
// joins apostrophes, "it's"; both give "it ' s" here.)
GroundedBoxes grounded_boxes(const torch::Tensor& logits, const torch::Tensor& boxes,
                             const std::vector<std::int64_t>& ids, const BertTokenizer& tokenizer,
                             std::int64_t source_height, std::int64_t source_width,
                             const GroundingDinoThresholds& thresholds, GroundingDinoRules rules);

}  // namespace deda::models
