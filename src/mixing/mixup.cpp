// Mixup (Zhang et al., arXiv 1710.09412; facebookresearch/mixup-cifar10, train.py): every picture is blended
// with one other of its batch, labels alike, with one share for the whole batch.
#include "mixing/method.h"

namespace deda::mixing {
namespace {

class Mixup final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{.name = "mixup",
                                   .title = "Mixup",
                                   .help = "Mixup (arXiv 1710.09412), with augment.method = \"mixup\"",
                                   .keys = {mix_probability(1.0),
                                            {.name = "alpha",
                                             .help = "shares are Beta(alpha, alpha)",
                                             .standard = 1.0,
                                             .min = 1e-3,
                                             .max = 1e3}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    auto stream = stream_of(number, Decision::lambda);
    plan.lambda = draw_beta(stream, settings["alpha"]);
    plan.partner = drawn_partners(number, size);
    return plan;
  }

  bool mixes_pixels() const override { return true; }

  LabelWeights mix(const Settings&, const BatchPlan& plan, std::int64_t, Pixels own, Pixels partner,
                   std::span<std::uint8_t> mixed) const override {
    // 15 fractional bits: at most 0.502 levels from the blend of real numbers, and integers are fast.
    constexpr std::int32_t bits = 15, half = 1 << (bits - 1);
    const auto share = static_cast<std::int32_t>(plan.lambda * (1 << bits) + 0.5), rest = (1 << bits) - share;
    for (std::size_t i = 0; i < own.size(); ++i)
      mixed[i] = static_cast<std::uint8_t>((share * own[i] + rest * partner[i] + half) >> bits);
    return {plan.lambda, 1 - plan.lambda};
  }
};

}  // namespace

const Method& mixup();
const Method& mixup() {
  static const Mixup method;
  return method;
}

}  // namespace deda::mixing
