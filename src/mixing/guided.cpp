// What Guided-SR and Guided-AP decide before pixels are seen; they mix in training/mixing/guided.cpp. Sources
// there.
#include "mixing/method.h"

namespace deda::mixing {
namespace {

constexpr double standard_sigma = 3.0, least_sigma = 0.5;

class Guided final : public Method {
 public:
  explicit Guided(MethodFacts facts) : facts_{std::move(facts)} {}
  const MethodFacts& facts() const override { return facts_; }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    plan.sigma = settings.flag("fixed_sigma")
                     ? standard_sigma
                     : stream_of(number, Decision::sigma).uniform(least_sigma, standard_sigma);
    return plan;
  }

 private:
  MethodFacts facts_;
};

Key fixed_sigma() {
  return {.name = "fixed_sigma",
          .help =
              "the last blur of saliency has sigma 3, as documented upstream, not U(0.5, 3) per batch, as "
              "upstream runs",
          .kind = Key::Kind::flag};
}

}  // namespace

const Method& guided_sr();
const Method& guided_sr() {
  static const Guided method({.name = "guided-sr",
                              .title = "Guided-SR",
                              .help =
                                  "Guided Mixup with spectral residual saliency (Kang and Kim 2023), with "
                                  "augment.method = \"guided-sr\"",
                              .partners = Partners::found,
                              .saliency = Saliency::pixels,
                              .smallest_batch = 2,
                              .keys = {mix_probability(0.5), fixed_sigma()}});
  return method;
}

const Method& guided_ap();
const Method& guided_ap() {
  static const Guided method(
      {.name = "guided-ap",
       .title = "Guided-AP",
       .help = "Guided Mixup with gradient saliency (Kang and Kim 2023), with augment.method = \"guided-ap\"",
       .partners = Partners::found,
       .saliency = Saliency::gradients,
       .smallest_batch = 2,
       .keys = {
           mix_probability(0.8),
           fixed_sigma(),
           {.name = "clean_weight",
            .help = "the unmixed batch's gradient, which saliency costs anyway, is added that many times",
            .standard = 0,
            .min = 0,
            .max = 10}}});
  return method;
}

}  // namespace deda::mixing
