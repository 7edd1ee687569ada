// Training pictures kept out of everything that learns, so that settings can be chosen without looking at the
// test pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace deda::data {

struct HeldOut {
  std::size_t pictures = 0;
  std::vector<std::string> classes_without;  // of training: too small to give one
};

// Moves `share` of each class's training pictures to Split::held_out: rounded, at least one where there are
// two, and one stays in training. A pure function of seed, class and the class's training list; a larger
// share holds out the same pictures and more. Share 0: none.
HeldOut hold_out(Dataset& dataset, double share, std::uint64_t seed);

}  // namespace deda::data
