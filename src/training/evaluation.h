// A classifier on pictures: exact scores over all ranks, per group of pictures.
#pragma once

#include "comm/communicator.h"
#include "models/classifiers/classifier.h"
#include "training/config.h"
#include "training/objective.h"
#include "training/sample_sets.h"

namespace deda::training {

// Collective. The network is put into eval mode and back. Scores and metrics are those of config.objective.
// Counts are summed as integers, so no padding or unequal share biases them. Of equal logits the first class
// wins.
Evaluation evaluate(models::Classifier& network, const TestSamples& samples, const comm::Communicator& ranks,
                    at::Device device, const TrainConfig& config);

}  // namespace deda::training
