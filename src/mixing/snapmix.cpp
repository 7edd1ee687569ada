// What SnapMix decides before pixels are seen; it mixes in training/mixing/snapmix.cpp. Sources there.
#include "mixing/method.h"

namespace deda::mixing {
namespace {

class SnapMix final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{
        .name = "snapmix",
        .title = "SnapMix",
        .help =
            "SnapMix (arXiv 2012.04846), with augment.method = \"snapmix\"; its original trains from "
            "scratch with probability 0.5 and alpha 1",
        .saliency = Saliency::activations,
        .several_labels = false,
        .keys = {
            mix_probability(1.0),
            {.name = "alpha",
             .help = "shares of the two boxes, before they are cut at the border, are Beta(alpha, alpha)",
             .standard = 5.0,
             .min = 1e-3,
             .max = 1e3}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t side) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    const auto box_of = [&](Decision share, Decision place, double& lambda) {
      auto shares = stream_of(number, share), places = stream_of(number, place);
      lambda = draw_beta(shares, settings["alpha"]);
      const auto y = places.below(static_cast<std::uint32_t>(side)),
                 x = places.below(static_cast<std::uint32_t>(side));
      return box_around(lambda, y, x, side);
    };
    plan.box = box_of(Decision::lambda, Decision::box, plan.lambda);
    plan.partner_box = box_of(Decision::lambda2, Decision::partner_box, plan.lambda2);
    plan.partner = drawn_partners(number, size);
    return plan;
  }
};

}  // namespace

const Method& snapmix();
const Method& snapmix() {
  static const SnapMix method;
  return method;
}

}  // namespace deda::mixing
