// What PuzzleMix decides before pixels are seen; masks and transport are puzzle_mix.h, and it mixes in
// training/mixing/puzzlemix.cpp.
#include "mixing/method.h"

namespace deda::mixing {
namespace {

class PuzzleMix final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{
        .name = "puzzlemix",
        .title = "PuzzleMix",
        .help =
            "PuzzleMix (Kim, Choo, Song 2020), with augment.method = \"puzzlemix\"; defaults as in "
            "GuidedMixup's FGVC program",
        .saliency = Saliency::gradients,
        .smallest_batch = 2,
        .keys = {
            mix_probability(1.0),
            {.name = "alpha",
             .help = "the own picture's share that is hoped for is Beta(alpha, alpha)",
             .standard = 1.0,
             .min = 1e-3,
             .max = 1e3},
            {.name = "blocks",
             .help =
                 "blocks along a side; 0: 2, 4, 8 or 16, drawn per batch. Halved until they divide the side",
             .standard = 0,
             .min = 0,
             .max = 64,
             .kind = Key::Kind::whole},
            {.name = "labels",
             .help = "a block's share of the own picture is one of so many, from 0 to 1",
             .standard = 3,
             .min = 2,
             .max = 16,
             .kind = Key::Kind::whole},
            {.name = "beta",
             .help = "how much neighbouring blocks agree",
             .standard = 1.2,
             .min = 0,
             .max = 1e3},
            {.name = "gamma",
             .help = "how much pictures continue over the edges of blocks, in units of beta",
             .standard = 0.5,
             .min = 0,
             .max = 1e3},
            {.name = "eta",
             .help = "how much shares follow alpha's draw",
             .standard = 0.2,
             .min = 0,
             .max = 1e3},
            {.name = "neighbourhood",
             .help = "pixels along the side of the cells by which blocks are compared (2 at 224 pixels)",
             .standard = 4,
             .min = 1,
             .max = 64,
             .kind = Key::Kind::whole},
            {.name = "transport",
             .help = "whether blocks move to where they show",
             .standard = 1,
             .kind = Key::Kind::flag},
            {.name = "transport_cost",
             .help = "of the picture's side, squared; a block moves where its saliency is worth more",
             .standard = 0.8,
             .min = 0,
             .max = 1e3},
            {.name = "clean_weight",
             .help = "the unmixed batch's gradient, which saliency costs anyway, is added that many times",
             .standard = 1.0,
             .min = 0,
             .max = 10}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    auto shares = stream_of(number, Decision::lambda), grids = stream_of(number, Decision::grid);
    plan.lambda = draw_beta(shares, settings["alpha"]);
    constexpr std::uint32_t largest_exponent = 4;
    plan.blocks = settings.whole("blocks");
    if (plan.blocks == 0) plan.blocks = std::int64_t{2} << grids.below(largest_exponent);
    plan.partner = drawn_partners(number, size);
    return plan;
  }
};

}  // namespace

const Method& puzzlemix();
const Method& puzzlemix() {
  static const PuzzleMix method;
  return method;
}

}  // namespace deda::mixing
