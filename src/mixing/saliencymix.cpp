// SaliencyMix (Uddin et al., arXiv 2006.01791; afm-shahab-uddin/SaliencyMix, SaliencyMix_CIFAR): as CutMix,
// but the box lies around the most salient pixel of the picture that is pasted first, for the whole batch
// (the paper speaks of a box per picture; the program has one).
#include "mixing/fine_grained_saliency.h"
#include "mixing/method.h"
#include "mixing/paste_box.h"

namespace deda::mixing {
namespace {

struct Memory final : Scratch {
  SaliencyScratch saliency;
  SaliencyMap map;
  std::vector<float> normalised;
};

// As the network sees it (ImageNet's mean and deviation): what upstream hands over.
void normalise(Pixels pixels, std::vector<float>& normalised) {
  constexpr float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};
  normalised.resize(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i)
    normalised[i] = (static_cast<float>(pixels[i]) / 255.0f - mean[i % 3]) / deviation[i % 3];
}

class SaliencyMix final : public Method {
 public:
  const MethodFacts& facts() const override {
    static const MethodFacts facts{
        .name = "saliencymix",
        .title = "SaliencyMix",
        .help = "SaliencyMix (arXiv 2006.01791), with augment.method = \"saliencymix\"",
        .saliency = Saliency::pixels,
        .keys = {
            mix_probability(1.0),
            {.name = "alpha",
             .help = "the own picture's share, before the box is cut at the border, is Beta(alpha, alpha)",
             .standard = 1.0,
             .min = 1e-3,
             .max = 1e3},
            {.name = "upstream_float",
             .help = "saliency as the published runs had it: of normalised floats that are read as bytes, "
                     "which finds next to nothing (training from 8-bit pictures finds the object)",
             .kind = Key::Kind::flag}}};
    return facts;
  }

  BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                 std::int64_t) const override {
    BatchPlan plan;
    plan.applied = is_applied(facts(), settings, number, size);
    if (!plan.applied) return plan;
    auto shares = stream_of(number, Decision::lambda);
    plan.lambda = draw_beta(shares, settings["alpha"]);
    plan.partner = drawn_partners(number, size);
    return plan;
  }

  bool mixes_pixels() const override { return true; }
  std::vector<std::uint32_t> looked_at(const BatchPlan& plan) const override {
    return {plan.partner.front()};
  }
  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<Memory>(); }

  LabelWeights mix(const Settings&, const BatchPlan& plan, std::int64_t side, Pixels own, Pixels partner,
                   std::span<std::uint8_t> mixed) const override {
    return paste_box(*plan.box, side, own, partner, mixed);
  }

  void look(const Settings& settings, std::span<const Pixels> pictures, std::int64_t side, BatchPlan& plan,
            Scratch* scratch) const override {
    auto& memory = static_cast<Memory&>(*scratch);
    const int pixels = static_cast<int>(side);
    if (settings.flag("upstream_float")) {
      normalise(pictures.front(), memory.normalised);
      fine_grained_saliency_of_upstream_float(memory.normalised.data(), pixels, pixels, memory.saliency,
                                              memory.map);
    } else {
      fine_grained_saliency(pictures.front().data(), pixels, pixels, memory.saliency, memory.map);
    }
    plan.box = box_around(plan.lambda, memory.map.peak.row, memory.map.peak.column, side);
  }
};

}  // namespace

const Method& saliencymix();
const Method& saliencymix() {
  static const SaliencyMix method;
  return method;
}

}  // namespace deda::mixing
