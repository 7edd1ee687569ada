// Section [decouple]: how pictures become CDPs and CIPs. The paper (section 3.1) fixes masks, union and
// "alpha pyramid" filling; the rest is decided here, one field per choice, with the reason in the help.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/device_choice.h"

namespace deda::decoupling {

enum class SplitChoice : std::uint8_t { train, all };
enum class TrimapBorder : std::uint8_t { outside, inside };
enum class Fill : std::uint8_t { alpha_pyramid, telea };
enum class Mode : std::uint8_t { recommended, faithful };
enum class PartsPer : std::uint8_t { label, picture };
enum class DetectorRules : std::uint8_t { automatic, original, transformers };
enum class NetworkPrecision : std::uint8_t { fp32, fp16, bf16 };

struct DecoupleConfig {
  std::vector<std::string> sources = {
      "annotated"};  // the ladder: the first source with an accepted mask wins
  Mode mode = Mode::recommended;
  PartsPer parts_per = PartsPer::label;
  SplitChoice split = SplitChoice::train;
  TrimapBorder trimap_border = TrimapBorder::outside;
  double min_mask_share = 0.005, max_mask_share = 0.95;

  std::int64_t hole_dilation_pixels = 3;
  double hole_dilation_share = 0.01;
  Fill fill = Fill::alpha_pyramid;
  double pyramid_ratio = 1.2;
  double max_hole_share = 1.0;

  double feather_sigma = 1.0;
  std::int64_t erode_pixels = 0;
  double margin_share = 0.05;
  std::int64_t margin_pixels = 4;

  std::int64_t cip_shorter_side = 0;
  std::int64_t cdp_longer_side = 0;

  std::int64_t grabcut_side = 320;
  std::int64_t grabcut_iterations = 5;
  double grabcut_box_growth = 0.02;
  double grabcut_seed_share = 0.7;

  std::string prompt;                         // of text_box_sam; empty: the dataset's own words
  std::vector<std::string> semantic_classes;  // of semantic; empty: by the dataset's words
  double box_threshold = 0.3, text_threshold = 0.25, retry_box_threshold = 0.2;
  double min_box_agreement = 0.3;
  double box_suppression = 1.0;  // IoU; 1: off
  bool best_box_only = false, annotated_box_only = false;
  double min_component_share = 0;
  bool fill_mask_holes = false;

  std::filesystem::path grounding_dino, sam, deeplab;
  DetectorRules grounding_dino_rules = DetectorRules::automatic;
  DeviceChoice device = DeviceChoice::automatic;
  NetworkPrecision precision = NetworkPrecision::fp32;
  std::int64_t batch = 1;
  std::int64_t networks_at_once = 0;

  std::filesystem::path exclude;
  std::int64_t items_per_segment = 256;
  double max_failed_share = 1.0;
  bool allow_empty = false;

  void describe(ConfigVisitor& v);

 private:
  void describe_networks(ConfigVisitor& v);
};

// What DecoupleConfig::grounding_dino_rules stands for: never automatic.
DetectorRules detector_rules(const DecoupleConfig& config);

// Names that `sources` may hold.
const std::vector<std::string>& mask_source_names();

}  // namespace deda::decoupling
