// One sample's random decisions: those that every sample has, and those of the method that made it.
#pragma once

#include <cstdint>
#include <variant>

#include "augment/combination_draws.h"
#include "augment/policy_draws.h"

namespace deda::augment {

// A generative peer's: which of its edits takes the picture's place.
struct EditDraws {
  std::int64_t edit = -1;    // its number in the pool
  std::int64_t source = -1;  // place in the training list of the picture that it was made of
  std::int32_t source_class = -1, target_class = -1;
  double strength = 0, target_share = 1;  // of the label, the rest is the source class's
};

// The decisions that one method alone makes; none for a natural picture. A method with decisions of its own
// adds its struct here and its names to training/trace.cpp; batches, streams and the trainer pass them on
// unseen. Why a variant and not a base class: workers fill it in where it lies in the ring, without
// allocating, and it is copied with its batch.
using MethodDraws = std::variant<std::monostate, CombinationDraws, EditDraws>;

struct Draws {
  std::int64_t index = -1;  // position in the training or test list
  std::int32_t epoch = 0;
  std::int32_t crop_x = 0, crop_y = 0;  // of the canvas: the natural picture, or the CIP
  bool flip = false;                    // final flip of the whole canvas
  MethodDraws method;
  PolicyDraws policy;  // what was done to the finished sample (policy.h)
};

// De-DA's decisions; nullptr for a natural picture.
inline const CombinationDraws* combination_of(const Draws& draws) {
  return std::get_if<CombinationDraws>(&draws.method);
}
// A generative peer's; nullptr for a natural picture.
inline const EditDraws* edit_of(const Draws& draws) {
  return std::get_if<EditDraws>(&draws.method);
}

}  // namespace deda::augment
