#include "decoupling/config.h"

#include <algorithm>

namespace deda::decoupling {

const std::vector<std::string>& mask_source_names() {
  static const std::vector<std::string> names = {"annotated", "semantic", "box_sam", "text_box_sam",
                                                 "box_grabcut"};
  return names;
}

void DecoupleConfig::describe_networks(ConfigVisitor& v) {
  v.field(
      {.key = "prompt",
       .help =
           "text_box_sam: what to look for; {label} stands for the label's name; empty: the dataset's own "
           "words (paper table 6: Bird, Aircraft, Car), or the label"},
      prompt);
  v.field(
      {.key = "semantic_classes",
       .help = "semantic: the network's classes that are the object, for every picture alike; empty: by the "
               "dataset's words (bird, aeroplane, car, cat and dog) or the label's name"},
      semantic_classes);
  v.field({.key = "box_threshold",
           .help = "text_box_sam: least score of a box (Lang-SAM: 0.3)",
           .min = 0,
           .max = 1},
          box_threshold);
  v.field({.key = "text_threshold",
           .help = "text_box_sam: least score of a word of the phrase (Lang-SAM: 0.25)",
           .min = 0,
           .max = 1},
          text_threshold);
  v.field({.key = "retry_box_threshold",
           .help = "text_box_sam, recommended mode: least score of a box where nothing was found at first",
           .min = 0,
           .max = 1},
          retry_box_threshold);
  v.field({.key = "min_box_agreement",
           .help = "recommended mode: a network's mask whose box has a smaller IoU with the annotated box is "
                   "rejected",
           .min = 0,
           .max = 1},
          min_box_agreement);
  v.field(
      {.key = "box_suppression",
       .help = "text_box_sam: boxes overlapping a better one by that IoU are dropped; 1: none, as Lang-SAM",
       .min = 0,
       .max = 1},
      box_suppression);
  v.field({.key = "best_box_only", .help = "text_box_sam: only the box with the best score"}, best_box_only);
  v.field({.key = "annotated_box_only", .help = "text_box_sam: only boxes that overlap the annotated one"},
          annotated_box_only);
  v.field({.key = "min_component_share",
           .help = "components of a network's mask below that share of the picture are dropped; 0: none",
           .min = 0,
           .max = 1},
          min_component_share);
  v.field({.key = "fill_mask_holes", .help = "holes inside a network's mask are filled"}, fill_mask_holes);
  v.field({.key = "grounding_dino", .help = "folder of GroundingDINO (transformers layout) for text_box_sam"},
          grounding_dino);
  v.choice(
      {.key = "grounding_dino_rules",
       .help =
           "text_box_sam: whose program decides where the two differ (size of capped pictures, margin of "
           "box refinement, dots in phrases); auto: transformers', which Lang-SAM calls today, in faithful "
           "mode, else the original's"},
      grounding_dino_rules,
      {{"auto", DetectorRules::automatic},
       {"original", DetectorRules::original},
       {"transformers", DetectorRules::transformers}});
  v.field({.key = "sam", .help = "folder or file of SAM or MobileSAM for text_box_sam and box_sam"}, sam);
  v.field({.key = "deeplab", .help = "folder of DeepLab (graph.json, labels.txt, .safetensors) for semantic"},
          deeplab);
  describe_device(v, device);
  v.choice(
      {.key = "precision", .help = "of the networks' weights"}, precision,
      {{"fp32", NetworkPrecision::fp32}, {"fp16", NetworkPrecision::fp16}, {"bf16", NetworkPrecision::bf16}});
  v.field({.key = "batch",
           .help = "pictures per unit of work, which semantic takes as one batch; 8 or more on GPUs",
           .min = 1,
           .max = 1024},
          batch);
  v.field(
      {.key = "networks_at_once",
       .help = "threads of a rank that may be inside a network at the same time, the others decode, cut and "
               "fill; 0: every thread on CPUs, one on GPUs",
       .min = 0,
       .max = 1024},
      networks_at_once);
}

void DecoupleConfig::describe(ConfigVisitor& v) {
  v.field({.key = "sources",
           .help = "mask sources in the order in which they are tried: annotated (mask files), box_sam (box "
                   "annotations into SAM), text_box_sam (prompt, GroundingDINO, SAM: the paper's), semantic "
                   "(DeepLab's class), box_grabcut (box annotations, no network)"},
          sources);
  v.choice({.key = "mode",
            .help = "recommended: retry, sanity checks and the further sources where they fail; faithful: "
                    "whatever the first source finds, as the paper's tool gave it"},
           mode, {{"recommended", Mode::recommended}, {"faithful", Mode::faithful}});
  v.choice(
      {.key = "parts_per",
       .help = "pictures with several labels (Pascal): a CDP for each label, or one for the picture's class"},
      parts_per, {{"label", PartsPer::label}, {"picture", PartsPer::picture}});
  v.choice({.key = "split",
            .help = "which pictures: the test split never gives parts to training, `all` is for looking"},
           split, {{"train", SplitChoice::train}, {"all", SplitChoice::all}});
  v.choice(
      {.key = "trimap_border",
       .help =
           "undecided border of a trimap: outside or inside of the CDP; it is inside of the hole either way"},
      trimap_border, {{"outside", TrimapBorder::outside}, {"inside", TrimapBorder::inside}});
  v.field({.key = "min_mask_share",
           .help = "a mask covering less of the picture is rejected",
           .min = 0,
           .max = 1},
          min_mask_share);
  v.field({.key = "max_mask_share",
           .help = "a mask covering more of the picture is rejected",
           .min = 0,
           .max = 1},
          max_mask_share);
  v.field(
      {.key = "hole_dilation_pixels",
       .help =
           "the hole is the mask grown by at least that many pixels, so that no rim of the object is smeared",
       .min = 0,
       .max = 1000},
      hole_dilation_pixels);
  v.field({.key = "hole_dilation_share",
           .help = "... or by that share of the longer side, if that is more",
           .min = 0,
           .max = 0.5},
          hole_dilation_share);
  v.choice(
      {.key = "fill",
       .help = "how the hole is filled: alpha_pyramid (the paper's), telea (cv::inpaint, for ablations)"},
      fill, {{"alpha_pyramid", Fill::alpha_pyramid}, {"telea", Fill::telea}});
  v.field(
      {.key = "pyramid_ratio", .help = "size ratio of neighbouring pyramid levels", .min = 1.05, .max = 4},
      pyramid_ratio);
  v.field({.key = "max_hole_share",
           .help = "pictures whose hole covers more give no CIP record; 1: no limit",
           .min = 0,
           .max = 1},
          max_hole_share);
  v.field({.key = "feather_sigma",
           .help = "Gaussian softening of the CDP's alpha edge, in source pixels; 0: hard edge",
           .min = 0,
           .max = 50},
          feather_sigma);
  v.field({.key = "erode_pixels",
           .help = "shrink the CDP's mask by that many pixels to lose a background fringe",
           .min = 0,
           .max = 100},
          erode_pixels);
  v.field({.key = "margin_share",
           .help = "margin of the CDP's crop as a share of its box's longer side",
           .min = 0,
           .max = 1},
          margin_share);
  v.field({.key = "margin_pixels", .help = "smallest margin of the CDP's crop", .min = 0, .max = 1000},
          margin_pixels);
  v.field({.key = "cip_shorter_side",
           .help = "store CIPs shrunk to that shorter side; 0: source resolution. Training resolution saves "
                   "space and time",
           .min = 0,
           .max = 65536},
          cip_shorter_side);
  v.field({.key = "cdp_longer_side",
           .help = "store CDPs shrunk to that longer side; 0: source resolution",
           .min = 0,
           .max = 65536},
          cdp_longer_side);
  v.field({.key = "grabcut_side",
           .help = "box_grabcut works on the picture shrunk to that longer side",
           .min = 32,
           .max = 4096},
          grabcut_side);
  v.field({.key = "grabcut_iterations", .help = "box_grabcut: iterations", .min = 1, .max = 100},
          grabcut_iterations);
  v.field({.key = "grabcut_box_growth",
           .help = "box_grabcut: the box is grown by that share of its sides",
           .min = 0,
           .max = 1},
          grabcut_box_growth);
  // With 0.4, and boxes around trimaps, GrabCut gave nothing for a third of the pets: what of the object lies
  // outside of the ellipse teaches the ground's colours to be the object's (figures in README.md).
  v.field({.key = "grabcut_seed_share",
           .help = "box_grabcut: an inner ellipse of that share of the box is taken as probable object",
           .min = 0,
           .max = 1},
          grabcut_seed_share);
  describe_networks(v);
  v.field(
      {.key = "exclude",
       .help = "text file of pictures that give no parts, one path a line (`deda decouple --review` writes "
               "it to be edited); its content is part of the result's identity"},
      exclude);
  v.field({.key = "items_per_segment",
           .help = "pictures per store segment: the unit that a kill can cost",
           .min = 1,
           .max = 1000000},
          items_per_segment);
  v.field({.key = "max_failed_share",
           .help = "end with an error when more than that share of the pictures is unreadable or failed",
           .min = 0,
           .max = 1},
          max_failed_share);
  v.field(
      {.key = "allow_empty", .help = "whether a store without a single part is a success; false: an error"},
      allow_empty);
  const auto& names = mask_source_names();
  v.require(!sources.empty(), "sources", "no mask source is named",
            "Name at least one, e.g. [\"annotated\"].");
  for (const std::string& source : sources) {
    const std::string near = nearest_name(source, names);
    v.require(std::find(names.begin(), names.end(), source) != names.end(), "sources",
              "\"" + source + "\" is no mask source",
              near.empty() ? "There are annotated, box_sam, text_box_sam, semantic and box_grabcut."
                           : "Did you mean \"" + near + "\"?");
  }
  v.require(min_mask_share < max_mask_share, "min_mask_share", "min_mask_share is not below max_mask_share",
            "Lower one or raise the other.");
}

DetectorRules detector_rules(const DecoupleConfig& config) {
  if (config.grounding_dino_rules != DetectorRules::automatic) return config.grounding_dino_rules;
  return config.mode == Mode::faithful ? DetectorRules::transformers : DetectorRules::original;
}

}  // namespace deda::decoupling
