// What is done to a finished 8-bit sample, natural or composed, before it is normalised: RandAugment (Cubuk
// et al., arXiv 1909.13719), TrivialAugmentWide (Mueller and Hutter, arXiv 2103.10158) or ColorJitter, each
// drawn as torchvision draws it, but from counted draws: pure functions of (seed, epoch, sample). Test
// pictures get none.
#pragma once

#include <cstdint>

#include "augment/config.h"
#include "augment/policy_draws.h"

namespace deda::augment {

// Which operations with which magnitudes; none with Policy::none. Height and width: of the sample.
PolicyDraws decide_policy(const AugmentConfig& config, std::uint64_t seed, std::uint32_t epoch,
                          std::uint64_t sample, int height, int width);

// Applies them in order, in place, to `pixels` [height, width, 3].
void apply_policy(const PolicyDraws& draws, int height, int width, std::uint8_t* pixels,
                  OperationScratch& scratch);

}  // namespace deda::augment
