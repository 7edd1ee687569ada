#include "augment/config.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "mixing/method.h"

namespace deda::augment {

namespace {

// What samples are made of, by name: natural pictures, De-DA's combinations, or edits of a generative peer.
std::vector<std::string_view> sample_names() {
  std::vector<std::string_view> names{"plain", "deda"};
  for (const auto& each : generative::methods()) names.push_back(each.name);
  return names;
}
void set_samples(std::size_t index, Method& method, generative::Method& peer) {
  constexpr auto first_peer = static_cast<std::size_t>(Method::edits);
  method = static_cast<Method>(std::min(index, first_peer));
  if (method == Method::edits) peer = static_cast<generative::Method>(index - first_peer);
}

// One key for what samples are made of and how they are mixed, and one for what is mixed.
void describe_method(ConfigVisitor& v, AugmentConfig& config) {
  auto& mixing = config.mixing;
  auto names = sample_names();
  const auto own = names.size();
  for (const auto* each : mixing::methods()) names.push_back(each->facts().name);
  const auto samples = config.samples();
  std::size_t index = mixing.chosen >= 0 ? own + static_cast<std::size_t>(mixing.chosen) : samples;
  v.choice_index(
      {.key = "method",
       .help = "plain: natural pictures only; deda: online randomized combination (paper section 3.3); the "
               "others are the peers of tables 2 to 5, each with a section of its own: real-guidance to "
               "diffusemix add edited pictures, the rest mix the pictures of a batch"},
      index, names);
  mixing.chosen = index < own ? -1 : static_cast<int>(index - own);
  v.choice_index(
      {.key = "mixed_samples",
       .help = "what an image-mixing method mixes: natural pictures (plain), De-DA's samples, or those of a "
               "generative peer"},
      mixing.mixed, sample_names());
  set_samples(mixing.chosen < 0 ? index : mixing.mixed, config.method, config.peer);
}

}  // namespace

std::size_t AugmentConfig::samples() const {
  return static_cast<std::size_t>(method) + (method == Method::edits ? static_cast<std::size_t>(peer) : 0);
}

void AugmentConfig::describe(ConfigVisitor& v) {
  describe_method(v, *this);
  v.choice({.key = "resize",
            .help = "shorter: pictures and CIPs keep their aspect (recipe A); square: both sides become "
                    "resize_shorter (recipes B and C)"},
           resize, {{"shorter", ResizeRule::shorter}, {"square", ResizeRule::square}});
  v.field(
      {.key = "resize_shorter",
       .help = "pictures and CIPs are resized to that shorter side (resize = square: to that side), as PIL "
               "does",
       .min = 8,
       .max = 16384},
      resize_shorter);
  v.field(
      {.key = "pad",
       .help = "black pixels added on each side before the random crop of training; test pictures get none",
       .min = 0,
       .max = 4096},
      pad);
  v.field({.key = "crop",
           .help = "side of the network's square input: random crop in training, centre crop in tests",
           .min = 8,
           .max = 16384},
          crop);
  v.field({.key = "p_aug",
           .help = "probability that a natural picture is replaced by a combination (paper: 0.5)",
           .min = 0,
           .max = 1},
          p_aug);
  v.field(
      {.key = "p_syn",
       .help =
           "probability that a combination's CDP is synthetic, where there are synthetic ones (paper: 0.25)",
       .min = 0,
       .max = 1},
      p_syn);
  v.field({.key = "p_mix",
           .help = "probability of a second CDP of another class (paper: 0.5)",
           .min = 0,
           .max = 1},
          p_mix);
  v.choice(
      {.key = "anchor",
       .help = "whose CDP a combination has: sample (that of the picture which it replaces) or random (any "
               "picture's)"},
      anchor, {{"sample", AnchorChoice::sample}, {"random", AnchorChoice::random}});
  v.choice(
      {.key = "real_cdps",
       .help =
           "what p_syn leaves with a real CDP: pasted, or untouched (the natural picture; rows b and c of "
           "figure 9, with p_aug = 1)"},
      real_cdps, {{"pasted", RealCdps::pasted}, {"untouched", RealCdps::untouched}});
  v.choice(
      {.key = "mix", .help = "the second CDP: inter (of another class) or any picture's but the first one's"},
      mix, {{"inter", MixChoice::inter}, {"any", MixChoice::any}});
  v.choice(
      {.key = "cip",
       .help =
           "whose background: inter (a class that is not pasted), any picture's, own (the CDP's picture)"},
      cip, {{"inter", CipChoice::inter}, {"any", CipChoice::any}, {"own", CipChoice::own}});
  v.choice(
      {.key = "placement",
       .help =
           "of the first CDP: random place, size, turn and mirroring, or in_place (as its own picture had "
           "it; figure 9 without random combination)"},
      placement, {{"random", Placement::random}, {"in_place", Placement::in_place}});
  v.choice({.key = "scale",
            .help = "relative: longer side of the rotated CDP = u * crop; native: its own relative size "
                    "times U(0.75, 1.25), within 0.3 and 1"},
           scale, {{"relative", ScaleRule::relative}, {"native", ScaleRule::native}});
  v.field({.key = "scale_min", .help = "relative: smallest u of a single CDP", .min = 0.01, .max = 1},
          scale_min);
  v.field({.key = "scale_max", .help = "relative: largest u of a single CDP", .min = 0.01, .max = 1},
          scale_max);
  v.field({.key = "mix_scale_min",
           .help = "relative: smallest u where two CDPs share the picture",
           .min = 0.01,
           .max = 1},
          mix_scale_min);
  v.field({.key = "mix_scale_max",
           .help = "relative: largest u where two CDPs share the picture",
           .min = 0.01,
           .max = 1},
          mix_scale_max);
  v.field({.key = "max_enlarge",
           .help = "a CDP is enlarged at most that often over its source pixels; 0: no cap",
           .min = 0,
           .max = 100},
          max_enlarge);
  v.field(
      {.key = "edge_sigma",
       .help = "pasted edges are at least that soft, however far their CDP was shrunk: sigma of a Gaussian "
               "in pixels of the crop; 0: as they come",
       .min = 0,
       .max = 5},
      edge_sigma);
  v.field({.key = "rotation_degrees", .help = "CDPs are turned by U(-r, r) degrees", .min = 0, .max = 180},
          rotation_degrees);
  v.field({.key = "cdp_flip", .help = "probability that a CDP is mirrored", .min = 0, .max = 1}, cdp_flip);
  v.field({.key = "flip", .help = "probability that the finished sample is mirrored", .min = 0, .max = 1},
          flip);
  v.field({.key = "max_occlusion",
           .help = "a place of the second CDP is taken when it hides less than that share of the first",
           .min = 0,
           .max = 1},
          max_occlusion);
  v.field({.key = "placement_tries",
           .help = "places tried for the second CDP; then the best of them",
           .min = 1,
           .max = 50},
          placement_tries);
  v.choice({.key = "label_area",
            .help = "label weights of two CDPs: by their visible pixels, or by whole ones, hidden or not"},
           label_area, {{"visible", LabelArea::visible}, {"whole", LabelArea::whole}});
  v.field({.key = "min_mask_share",
           .help = "pictures whose mask covers less give neither CDP nor CIP and stay natural",
           .min = 0,
           .max = 1},
          min_mask_share);
  v.field({.key = "max_mask_share",
           .help = "pictures whose mask covers more give neither CDP nor CIP and stay natural",
           .min = 0,
           .max = 1},
          max_mask_share);
  v.choice(
      {.key = "policy",
       .help = "operations on the finished 8-bit sample, natural or composed, before normalisation, as "
               "torchvision's on PIL pictures: randaugment (figure 7), trivialaugment (wide), color_jitter"},
      policy,
      {{name_of(Policy::none), Policy::none},
       {name_of(Policy::randaugment), Policy::randaugment},
       {name_of(Policy::trivialaugment), Policy::trivialaugment},
       {name_of(Policy::color_jitter), Policy::color_jitter}});
  v.field({.key = "randaugment_operations",
           .help = "randaugment: operations a sample",
           .min = 1,
           .max = PolicyDraws::most},
          randaugment_operations);
  v.field({.key = "randaugment_magnitude",
           .help = "randaugment: strength of each operation, bin 0..30 of its range",
           .min = 0,
           .max = magnitude_bins - 1},
          randaugment_magnitude);
  v.field({.key = "jitter_brightness",
           .help = "color_jitter: factor 1 + U(-j, j), not below 0",
           .min = 0,
           .max = 10},
          jitter_brightness);
  v.field({.key = "jitter_contrast", .help = "color_jitter: the same for contrast", .min = 0, .max = 10},
          jitter_contrast);
  v.field({.key = "jitter_saturation", .help = "color_jitter: the same for saturation", .min = 0, .max = 10},
          jitter_saturation);
  v.field(
      {.key = "jitter_hue", .help = "color_jitter: hue shift U(-j, j) of the circle", .min = 0, .max = 0.5},
      jitter_hue);
  v.choice({.key = "mixed_label",
            .help = "several labels per picture, two CDPs; hard: both are there (1); area: by visible area"},
           mixed_label, {{"hard", MixedLabel::hard}, {"area", MixedLabel::area}});
  v.field(
      {.key = "min_background",
       .help = "several labels per picture: CIPs of which less was background, outside of all masks, are not "
               "used",
       .min = 0,
       .max = 1},
      min_background);
  v.field({.key = "paste_on",
           .help = "several labels per picture: CDPs are pasted on whole pictures, which keep their labels, "
                   "instead of CIPs"},
          paste_on);
  v.field({.key = "allow_empty",
           .help = "whether De-DA may train without any usable part (or, with p_syn above 0, without any "
                   "synthetic CDP), which is training on natural pictures; false: an error"},
          allow_empty);
  v.field({.key = "cache_megabytes",
           .help = "memory per rank for decoded and resized pictures and parts; what does not fit is made "
                   "anew each time",
           .min = 0,
           .max = 1e7},
          cache_megabytes);
  v.field({.key = "ring_batches", .help = "batches composed ahead of the network", .min = 1, .max = 64},
          ring_batches);
  mixing.describe_sections(v);
  peers.describe_sections(v);
  v.require(crop <= resize_shorter, "crop", "crop is larger than resize_shorter",
            "Lower augment.crop or raise augment.resize_shorter.");
  v.require(scale_min <= scale_max, "scale_min", "scale_min is larger than scale_max",
            "Lower one or raise the other.");
  v.require(mix_scale_min <= mix_scale_max, "mix_scale_min", "mix_scale_min is larger than mix_scale_max",
            "Lower one or raise the other.");
  v.require(min_mask_share < max_mask_share, "min_mask_share", "min_mask_share is not below max_mask_share",
            "Lower one or raise the other.");
}

}  // namespace deda::augment
