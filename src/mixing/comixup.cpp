// What Co-Mixup draws before pixels are seen; who shows where is co_mixup.h's, and it mixes in
// training/mixing/comixup.cpp.
#include "mixing/method.h"

namespace deda::mixing {
namespace {

class CoMixup final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{
        .name = "comixup",
        .title = "Co-Mixup",
        .help =
            "Co-Mixup (Kim, Choo, Jeong, Song 2021), with augment.method = \"comixup\"; defaults as in "
            "GuidedMixup's FGVC program (the original: grid 4, alpha 2); every batch is mixed",
        .partners = Partners::found,
        .saliency = Saliency::gradients,
        .smallest_batch = 2,
        .keys = {
            {.name = "alpha",
             .help = "weights of a batch's pictures are Dirichlet(alpha, ..., alpha)",
             .standard = 1.0,
             .min = 1e-3,
             .max = 1e3},
            {.name = "grid",
             .help = "cells along a side. Halved until they divide the side",
             .standard = 16,
             .min = 1,
             .max = 64,
             .kind = Key::Kind::whole},
            {.name = "beta",
             .help = "how much neighbouring cells agree",
             .standard = 0.32,
             .min = 0,
             .max = 1e3},
            {.name = "gamma",
             .help = "how much outputs avoid what others show already",
             .standard = 1.0,
             .min = 0,
             .max = 1e3},
            {.name = "eta",
             .help = "how much outputs follow the drawn weights",
             .standard = 0.05,
             .min = 0,
             .max = 1e3},
            {.name = "tau",
             .help = "share of an output from which on a picture's use by others counts",
             .standard = 0.83,
             .min = 0,
             .max = 1e3},
            {.name = "omega",
             .help = "how much pictures with distant peaks avoid each other",
             .standard = 0.001,
             .min = 0,
             .max = 1},
            {.name = "iterations",
             .help = "over all outputs",
             .standard = 4,
             .min = 1,
             .max = 100,
             .kind = Key::Kind::whole},
            {.name = "clean_weight",
             .help = "the unmixed batch's gradient, which saliency costs anyway, is added that many times",
             .standard = 1.0,
             .min = 0,
             .max = 10}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t side) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    plan.blocks = settings.whole("grid");
    while (side % plan.blocks != 0) plan.blocks /= 2;
    auto weights = stream_of(number, Decision::weights), start = stream_of(number, Decision::start);
    plan.weights = draw_dirichlet(weights, settings["alpha"], static_cast<std::size_t>(size));
    plan.start.resize(static_cast<std::size_t>(size * plan.blocks * plan.blocks));
    for (auto& picture : plan.start) picture = start.below(static_cast<std::uint32_t>(size));
    return plan;
  }
};

}  // namespace

const Method& comixup();
const Method& comixup() {
  static const CoMixup method;
  return method;
}

}  // namespace deda::mixing
