// Section [augment]: how training samples are made. Defaults are the paper's (section 4.1, table 6) where it
// says, else the decisions that its reading leaves open. Image-mixing and generative peers are further values
// of `method`, with a section each (src/mixing, src/generative).
#pragma once

#include <cstdint>

#include "augment/policy_draws.h"
#include "core/config.h"
#include "generative/settings.h"
#include "mixing/settings.h"

namespace deda::augment {

enum class Method : std::uint8_t { plain, deda, edits };
enum class CipChoice : std::uint8_t { inter, any, own };
enum class AnchorChoice : std::uint8_t { sample, random };
enum class RealCdps : std::uint8_t { pasted, untouched };
enum class Placement : std::uint8_t { random, in_place };
enum class MixChoice : std::uint8_t { inter, any };
enum class LabelArea : std::uint8_t { visible, whole };
enum class ResizeRule : std::uint8_t { shorter, square };
enum class MixedLabel : std::uint8_t { hard, area };
enum class ScaleRule : std::uint8_t { relative, native };

struct AugmentConfig {
  // What samples are made of; where `mixing` has chosen a method (augment.method names both), what it mixes.
  Method method = Method::deda;
  generative::Method peer = generative::Method::real_guidance;  // whose edits, where `method` is edits
  generative::ByMethod<generative::TrainingUse> peers;
  mixing::MixingConfig mixing;
  ResizeRule resize = ResizeRule::shorter;
  std::int64_t resize_shorter = 512;
  std::int64_t pad = 0;
  std::int64_t crop = 448;
  double p_aug = 0.5;
  double p_syn = 0.25;
  double p_mix = 0.5;
  AnchorChoice anchor = AnchorChoice::sample;
  RealCdps real_cdps = RealCdps::pasted;
  MixChoice mix = MixChoice::inter;
  CipChoice cip = CipChoice::inter;
  Placement placement = Placement::random;
  ScaleRule scale = ScaleRule::relative;
  double scale_min = 0.5, scale_max = 1.0;
  double mix_scale_min = 0.4, mix_scale_max = 0.8;
  double max_enlarge = 0.0;
  double edge_sigma = 0.0;
  double rotation_degrees = 15.0;
  double cdp_flip = 0.5;
  double flip = 0.5;
  double max_occlusion = 0.5;
  std::int64_t placement_tries = 10;
  LabelArea label_area = LabelArea::visible;
  double min_mask_share = 0.01, max_mask_share = 0.95;
  Policy policy = Policy::none;
  std::int64_t randaugment_operations = 2;
  std::int64_t randaugment_magnitude = 9;
  double jitter_brightness = 0.4, jitter_contrast = 0.4, jitter_saturation = 0.4, jitter_hue = 0.1;
  // Of several labels per picture alone.
  MixedLabel mixed_label = MixedLabel::hard;
  double min_background = 0.3;
  bool paste_on = false;

  bool allow_empty = false;
  std::int64_t cache_megabytes = 2048;
  std::int64_t ring_batches = 4;

  // How training uses the edits of the chosen generative peer.
  const generative::TrainingUse& edits() const { return peers[peer]; }
  // Place of what samples are made of among the names of augment.mixed_samples.
  std::size_t samples() const;
  void describe(ConfigVisitor& v);
};

}  // namespace deda::augment
