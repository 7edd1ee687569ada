#include <numeric>
#include <stdexcept>

#include "mixing/method.h"

// One line per method: the function of that name returns it and stands in the method's own file. The order is
// that of names in help texts and tables.
#define DEDA_MIXING_METHODS(method)                                                                  \
  method(mixup) method(cutmix) method(saliencymix) method(snapmix) method(puzzlemix) method(comixup) \
      method(guided_sr) method(guided_ap)

namespace deda::mixing {

#define DEDA_DECLARE(name) const Method& name();
DEDA_MIXING_METHODS(DEDA_DECLARE)
#undef DEDA_DECLARE

const std::vector<const Method*>& methods() {
#define DEDA_LIST(name) &name(),
  static const std::vector<const Method*> all{DEDA_MIXING_METHODS(DEDA_LIST)};
#undef DEDA_LIST
  return all;
}

LabelWeights Method::mix(const Settings&, const BatchPlan&, std::int64_t, Pixels, Pixels,
                         std::span<std::uint8_t>) const {
  throw std::logic_error("this method does not mix pixels");
}

std::vector<std::uint32_t> drawn_partners(const BatchNumber& number, std::int64_t size) {
  return permutation(static_cast<std::uint32_t>(size), stream_of(number, Decision::partners));
}

bool is_applied(const MethodFacts& facts, const Settings& settings, const BatchNumber& number,
                std::int64_t size) {
  if (size < facts.smallest_batch) return false;
  if (!settings.has("mix_probability")) return true;
  return stream_of(number, Decision::applied).chance(settings["mix_probability"]);
}

Key mix_probability(double standard) {
  return {.name = "mix_probability",
          .help = "probability that a batch is mixed; the others stay as they are",
          .standard = standard,
          .min = 0,
          .max = 1};
}

}  // namespace deda::mixing
