// CutMix (Yun et al., arXiv 1905.04899; clovaai/CutMix-PyTorch, train.py): one box for the whole batch is
// filled with the partner's pixels; labels are weighted by the areas that are left.
#include <algorithm>

#include "mixing/method.h"
#include "mixing/paste_box.h"

namespace deda::mixing {
namespace {

class CutMix final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{
        .name = "cutmix",
        .title = "CutMix",
        .help = "CutMix (arXiv 1905.04899), with augment.method = \"cutmix\"",
        .keys = {
            mix_probability(1.0),
            {.name = "alpha",
             .help = "the own picture's share, before the box is cut at the border, is Beta(alpha, alpha)",
             .standard = 1.0,
             .min = 1e-3,
             .max = 1e3}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t side) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    auto shares = stream_of(number, Decision::lambda), places = stream_of(number, Decision::box);
    plan.lambda = draw_beta(shares, settings["alpha"]);
    const auto y = places.below(static_cast<std::uint32_t>(side)),
               x = places.below(static_cast<std::uint32_t>(side));
    plan.box = box_around(plan.lambda, y, x, side);
    plan.partner = drawn_partners(number, size);
    return plan;
  }

  bool mixes_pixels() const override { return true; }

  LabelWeights mix(const Settings&, const BatchPlan& plan, std::int64_t side, Pixels own, Pixels partner,
                   std::span<std::uint8_t> mixed) const override {
    return paste_box(*plan.box, side, own, partner, mixed);
  }
};

}  // namespace

const Method& cutmix();
const Method& cutmix() {
  static const CutMix method;
  return method;
}

}  // namespace deda::mixing
