// Exact top-1 counts over all ranks, per group of pictures.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "models/classifiers/classifier.h"
#include "training/config.h"
#include "training/sample_sets.h"
#include "training/state.h"

namespace deda::training {

// Collective. The network is put into eval mode and back. First score: "all"; then one per group, in order.
// Counts are summed as integers, so no padding or unequal share biases them. Of equal logits the first class
// wins.
std::vector<GroupScore> evaluate(models::Classifier& network, const TestSamples& samples,
                                 const comm::Communicator& ranks, at::Device device,
                                 const TrainConfig& config);

}  // namespace deda::training
