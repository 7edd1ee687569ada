// The objectives that make_objective() chooses from, and what they share.
#pragma once

#include <memory>
#include <vector>

#include "training/objective.h"

namespace deda::training {

std::unique_ptr<Objective> make_single_label(double label_smoothing);
std::unique_ptr<Objective> make_multi_label();

// -1: none. `index`: of the test picture (Draws::index).
std::int32_t group_of(const TestSamples& samples, std::int64_t index);
// From [score][correct, total] summed over the ranks, score 0 being "all".
std::vector<GroupScore> scores_of(const TestSamples& samples, const std::vector<std::int64_t>& counts);

}  // namespace deda::training
