// A score of mask quality that needs a classifier and no annotation: the class-dependent part alone should
// keep the class, the class-independent part alone should lose it. Written by training/mask_scores, read here
// from the store's folder: mask_scores.csv (format: README). A store without the file has no scores.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "io/store/record_store.h"

namespace deda::report {

struct MaskScore {
  double cdp_keeps = 0, cip_keeps = 0;  // 0..1: probability of the true class for the part alone
  double quality() const { return cdp_keeps * (1 - cip_keeps); }  // 0..1, 1 is best
};
using MaskScores = std::map<std::int64_t, MaskScore>;  // by item of the store

// Below this quality a mask is doubtful: one of the two probabilities is on the wrong side of about a half.
inline constexpr double doubtful_quality = 0.5;

// Empty where the store has no such file. DataError with file and line for a header, number or item that is
// wrong, an item that is there twice, and a source that is not the item's (scores of another store).
MaskScores read_mask_scores(const io::StoreReader& store);

// "mask score 0.12 (CDP alone 0.20, CIP alone 0.40)".
std::string words_of(const MaskScore& score);

}  // namespace deda::report
