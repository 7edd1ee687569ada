// What a classifier is trained for and judged by: the loss, what a batch's loss is the mean over, and the
// scores of an evaluation. single_label: one class per picture, soft labels, top-1. multi_label: any number
// of classes per picture (paper figure 5a), labels 1 present, 0 absent, negative where an entry does not
// count.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "training/config.h"
#include "training/device_feed.h"
#include "training/sample_sets.h"
#include "training/state.h"

namespace deda::training {

struct Evaluation {
  std::vector<GroupScore> scores;  // "all" first, then one per group, in order
  std::vector<Metric> metrics;     // of all pictures, those that are defined
};

// Gathers what a network says about pictures, each given once on one of the ranks.
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // Logits [B, classes] on the device; what it says is put off.
  virtual void add(const augment::Batch& batch, const at::Tensor& logits) = 0;
  // Looks at all that was put off, which waits for the device. ModelError where a logit is not finite and the
  // scores would hide it.
  virtual void look() = 0;
  // Collective, after look(): exact over all ranks, however the pictures were shared.
  virtual Evaluation finish(const comm::Communicator& ranks) = 0;
};

class Objective {
 public:
  virtual ~Objective() = default;
  // Mean over what counts in these samples: a float32 scalar. Both [B, classes].
  virtual at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const = 0;
  // What loss() is the mean over, as a number: 0 of an empty share.
  virtual double counted(const DeviceBatch& share) const = 0;
  // Collective: the same of the global batch of `global_size` samples, of which this rank's counts `own`.
  virtual double counted_in_all(const comm::Communicator& ranks, double own,
                                std::int64_t global_size) const = 0;
  // [B, classes], 0..1, float64.
  virtual at::Tensor probabilities(const at::Tensor& logits) const = 0;
  // `samples` outlives it.
  virtual std::unique_ptr<Evaluator> start_evaluation(const TestSamples& samples) const = 0;
};

std::unique_ptr<Objective> make_objective(const TrainConfig& config);

}  // namespace deda::training
