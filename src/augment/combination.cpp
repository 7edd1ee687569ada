#include "augment/combination.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "core/log.h"
#include "core/random.h"

namespace deda::augment {

Choices::Choices(std::uint64_t seed, std::uint32_t epoch, std::uint64_t sample)
    : seed_{seed}, sample_{sample}, epoch_{epoch} {}

double Choices::uniform(Decision decision, std::uint32_t offset) const {
  const RandomStream stream{seed_, Purpose::combination, epoch_, sample_};
  return static_cast<double>(stream.bits_at(static_cast<std::uint32_t>(decision) + offset) >> 8) * 0x1.0p-24;
}

std::uint32_t Choices::below(Decision decision, std::uint32_t n, std::uint32_t offset) const {
  const RandomStream stream{seed_, Purpose::combination, epoch_, sample_};
  return static_cast<std::uint32_t>(
      (std::uint64_t{stream.bits_at(static_cast<std::uint32_t>(decision) + offset)} * n) >> 32);
}

namespace {

// The place of the real CDP, 0, or with p_syn that of one of the item's synthetic versions, if it has any.
std::int32_t choose_place(const Choices& choices, const PartPool& pool, std::size_t item, std::size_t label,
                          double p_syn, Decision whether, Decision which) {
  const int versions = pool.versions(item, label);
  if (versions <= 0 || choices.uniform(whether) >= p_syn) return 0;
  return 1 + static_cast<std::int32_t>(choices.below(which, static_cast<std::uint32_t>(versions)));
}

// The background's owner. inter: of no pasted class; where there is none, not of the anchor's class; where
// there is none, anybody, the anchor itself only if nobody else has a CIP (its share of the draws goes to the
// next in order). own: the anchor; where it has no CIP, anybody. any: anybody. Each fall-back is told once a
// process. -1: nobody has a CIP. With several labels a class is a donor's when any of its labels is that
// class.
std::int64_t choose_donor(const Choices& choices, const PartPool& pool, const AugmentConfig& config,
                          std::size_t anchor, const CombinationDraws& made) {
  const PartPool::Group& donors = pool.donors();
  if (config.cip == CipChoice::own && pool.gives_background(anchor)) return static_cast<std::int64_t>(anchor);
  if (donors.order.empty()) return -1;
  if (config.cip == CipChoice::own) {
    static std::once_flag told;
    std::call_once(
        told, [] { log_warning("a picture without a background of its own gets any picture's instead"); });
  }
  if (config.cip == CipChoice::inter) {
    const std::int32_t own = made.class1, other = made.mix >= 0 ? made.class2 : own;
    if (const std::uint32_t count = pool.donors_without(own, other); count > 0)
      return pool.donor_without(choices.below(Decision::cip, count), own, other);
    if (const std::uint32_t count = pool.donors_without(own, own); count > 0) {
      static std::once_flag told;
      std::call_once(told, [] {
        log_warning(
            "no class is left for the background of two CDPs: it is only kept off the first CDP's class");
      });
      return pool.donor_without(choices.below(Decision::cip, count), own, own);
    }
    static std::once_flag told;
    std::call_once(told,
                   [] { log_warning("no other class has a background: they come from the same class"); });
  }
  const std::uint32_t count = static_cast<std::uint32_t>(donors.order.size());
  const std::uint32_t n = choices.below(Decision::cip, count);
  if (donors.order[n] == anchor && count > 1 && config.cip == CipChoice::inter)
    return donors.order[(n + 1) % count];
  return donors.order[n];
}

// The first CDP's picture; -1: the sample stays natural.
std::int64_t choose_anchor(const Choices& choices, const PartPool& pool, const AugmentConfig& config,
                           std::size_t sample) {
  const auto& anchors = pool.anchors().order;
  if (config.anchor == AnchorChoice::random && !anchors.empty())
    return anchors[choices.below(Decision::anchor, static_cast<std::uint32_t>(anchors.size()))];
  return pool.usable(sample) ? static_cast<std::int64_t>(sample) : -1;
}

// The second CDP, by picture and label, beside the first one's number in the pool; nothing: there is none to
// choose.
std::optional<PartPool::Cutout> choose_mix(const Choices& choices, const PartPool& pool,
                                           const AugmentConfig& config, std::size_t first) {
  const PartPool::Group& all = pool.cutouts();
  if (config.mix == MixChoice::any) {
    const auto others = static_cast<std::uint32_t>(all.order.size()) - 1;
    if (others == 0) return std::nullopt;
    const std::uint32_t chosen = all.order[choices.below(Decision::mix_item, others)];
    return pool.cutout(chosen == first ? all.order[others] : chosen);  // the last takes the first one's share
  }
  const auto& [item, label] = pool.cutout(first);
  const std::int32_t own = pool.label_class(item, label);
  const std::uint32_t count = all.count_without(own, own);
  if (count == 0) return std::nullopt;
  return pool.cutout(all.member_without(choices.below(Decision::mix_item, count), own, own));
}

double choose_size(const Choices& choices, const AugmentConfig& config, const PartView& cdp, bool mixed,
                   Decision decision) {
  constexpr double native_low = 0.75, native_high = 1.25, native_min = 0.3, native_max = 1.0;
  const double u = choices.uniform(decision);
  if (config.scale == ScaleRule::native)
    return std::clamp(cdp.relative_size * (native_low + (native_high - native_low) * u), native_min,
                      native_max);
  const double low = mixed ? config.mix_scale_min : config.scale_min,
               high = mixed ? config.mix_scale_max : config.scale_max;
  return low + (high - low) * u;
}

}  // namespace

Draws decide(const AugmentConfig& config, const PartPool& pool, std::uint64_t seed, std::uint32_t epoch,
             std::uint64_t sample) {
  Draws draws;
  draws.index = static_cast<std::int64_t>(sample);
  draws.epoch = static_cast<std::int32_t>(epoch);
  if (config.method == Method::plain) return draws;
  const Choices choices{seed, epoch, sample};
  const std::int64_t chosen = choose_anchor(choices, pool, config, static_cast<std::size_t>(sample));
  if (chosen < 0 || choices.uniform(Decision::augmented) >= config.p_aug) return draws;
  const auto anchor = static_cast<std::size_t>(chosen);
  CombinationDraws made;
  made.anchor = chosen;
  std::size_t label = 0, mix_label = 0;
  if (pool.labels(anchor) > 1)
    label = choices.below(Decision::anchor_label, static_cast<std::uint32_t>(pool.labels(anchor)));
  made.label = static_cast<std::int32_t>(label);
  made.class1 = pool.label_class(anchor, label);
  made.place =
      choose_place(choices, pool, anchor, label, config.p_syn, Decision::synthetic, Decision::version);
  made.version = pool.cdp(anchor, made.place, label).version;
  if (made.place == 0 && config.real_cdps == RealCdps::untouched) return draws;
  const bool in_place = config.placement == Placement::in_place;
  if (in_place && !pool.knows_place(anchor, label)) return draws;
  if (choices.uniform(Decision::mix) < config.p_mix) {
    if (const auto other = choose_mix(choices, pool, config, pool.cutout_number(anchor, label))) {
      made.mix = other->item;
      mix_label = other->label;
      made.mix_label = static_cast<std::int32_t>(mix_label);
      made.class2 = pool.label_class(other->item, mix_label);
      made.mix_place = choose_place(choices, pool, other->item, mix_label, config.p_syn,
                                    Decision::mix_synthetic, Decision::mix_version);
      made.mix_version = pool.cdp(other->item, made.mix_place, mix_label).version;
    }
  }
  made.cip = choose_donor(choices, pool, config, anchor, made);
  if (made.cip < 0) return draws;  // nobody has a background: the sample stays natural
  const bool mixed = made.mix >= 0;
  if (!in_place) {
    made.u1 = choose_size(choices, config, pool.cdp(anchor, made.place, label), mixed, Decision::size1);
    made.angle1 = config.rotation_degrees * (2 * choices.uniform(Decision::angle1) - 1);
    made.flip1 = choices.uniform(Decision::flip1) < config.cdp_flip;
  }
  if (mixed) {
    made.u2 =
        choose_size(choices, config, pool.cdp(static_cast<std::size_t>(made.mix), made.mix_place, mix_label),
                    mixed, Decision::size2);
    made.angle2 = config.rotation_degrees * (2 * choices.uniform(Decision::angle2) - 1);
    made.flip2 = choices.uniform(Decision::flip2) < config.cdp_flip;
  }
  draws.flip = choices.uniform(Decision::flip) < config.flip;
  draws.method = made;
  return draws;
}

}  // namespace deda::augment
