#include "decoupling/config.h"

#include <algorithm>

namespace deda::decoupling {

const std::vector<std::string>& mask_source_names() {
  static const std::vector<std::string> names = {"annotated", "box_grabcut"};
  return names;
}

void DecoupleConfig::describe(ConfigVisitor& v) {
  v.field({.key = "sources",
           .help = "mask sources in the order in which they are tried: annotated (mask files), box_grabcut "
                   "(box annotations)"},
          sources);
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
  v.field({.key = "grabcut_seed_share",
           .help = "box_grabcut: an inner ellipse of that share of the box is taken as probable object",
           .min = 0,
           .max = 1},
          grabcut_seed_share);
  v.field({.key = "items_per_segment",
           .help = "pictures per store segment: the unit that a kill can cost",
           .min = 1,
           .max = 1000000},
          items_per_segment);
  v.field({.key = "max_failed_share",
           .help = "end with an error when more than that share of the pictures is unreadable or failed",
           .min = 0,
           .max = 1,
           .identity = false},
          max_failed_share);
  const auto& names = mask_source_names();
  v.require(!sources.empty(), "sources", "no mask source is named",
            "Name at least one, e.g. [\"annotated\"].");
  for (const std::string& source : sources) {
    const std::string near = nearest_name(source, names);
    v.require(std::find(names.begin(), names.end(), source) != names.end(), "sources",
              "\"" + source + "\" is no mask source",
              near.empty() ? "There are annotated and box_grabcut." : "Did you mean \"" + near + "\"?");
  }
  v.require(min_mask_share < max_mask_share, "min_mask_share", "min_mask_share is not below max_mask_share",
            "Lower one or raise the other.");
}

}  // namespace deda::decoupling
