// GroundingDINO from its folder, whole: pictures and prompts in, boxes in source pixels out. Loads the
// Hugging Face folder (config.json, model.safetensors, preprocessor_config.json, vocab.txt) or one whose
// safetensors file carries the original's names. Published: IDEA-Research/grounding-dino-tiny and -base.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "models/grounding_dino/processing.h"
#include "models/weights/tensor_file.h"

namespace deda::models {

struct GroundingDinoOptions {
  torch::ScalarType dtype = torch::kFloat;  // of the weights; coordinates and softmax stay in float32
  torch::Device device = torch::kCPU;
  // Whose rule decides where the two reference programs differ: size of capped pictures, dots in phrases, and
  // how near a box's side may come to 0 and 1.
  GroundingDinoRules rules = GroundingDinoRules::transformers;
};

// What was found on one picture, in the order of the queries (by first-stage score, not by `scores`). Decide
// by the number of boxes, never by the phrases. No NMS, no clipping: boxes may leave the picture a little.
struct Detections {
  std::vector<std::array<float, 4>> boxes;  // x0, y0, x1, y1 in pixels of the source picture
  std::vector<float> scores;                // highest token probability, in (threshold, 1)
  std::vector<std::string> phrases;         // words of the prompt the box stands for; may be empty
  std::string rejected;                     // why the picture was not looked at; empty: it was
  std::vector<std::string> notes;  // what was changed on the way: prompt cut, side of a picture clamped
};

class GroundingDinoDetector {
 public:
  // DataError lists everything missing, unused and misshapen in the folder at once.
  explicit GroundingDinoDetector(const std::filesystem::path& folder,
                                 const GroundingDinoOptions& options = {});
  ~GroundingDinoDetector();
  GroundingDinoDetector(const GroundingDinoDetector&) = delete;
  GroundingDinoDetector& operator=(const GroundingDinoDetector&) = delete;

  // Pictures: RGB (RGBA: alpha is passed over; grey: thrice the same), any sizes; prompts: one for all or one
  // for each, any case, several phrases separated by dots; the last dot is added where it is missing.
  // Pictures of different sizes are padded to the largest and run as one batch, as the originals do; padding
  // changes the numbers by a little more than rounding, so whoever needs results independent of the company
  // gives one picture per call. A picture that the network cannot take (fewer places than queries) comes back
  // `rejected`. ConfigError: counts do not match, a prompt holds no word, a threshold outside of 0..1.
  // `capture` gets, over the batch of the pictures that were not rejected, on the CPU in float32 or int64, by
  // transformers' names: pixel_values [B, 3, H, W], pixel_mask [B, H, W], input_ids, attention_mask,
  // token_type_ids [B, N], logits [B, queries, max_text_len] (-inf beyond the prompt), pred_boxes [B,
  // queries, 4] (centre x, centre y, width, height over the picture's size). Safe from several threads at
  // once. Text features are computed once per prompt and kept.
  std::vector<Detections> detect(const std::vector<io::Image>& pictures,
                                 const std::vector<std::string>& prompts,
                                 const GroundingDinoThresholds& thresholds = {},
                                 NamedTensors* capture = nullptr) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deda::models
