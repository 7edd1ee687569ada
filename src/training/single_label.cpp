// One class per picture: cross entropy of soft labels, exact top-1 counts.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "training/loss.h"
#include "training/objectives.h"

namespace deda::training {
namespace {

// Counts lie as [score][correct, total].
constexpr std::size_t counts_per_score = 2;

// What is known of a batch while its predictions may still be on their way.
struct Pending {
  at::Tensor predicted;                // [B] on the device
  std::vector<std::int64_t> truth;     // first largest label
  std::vector<std::int32_t> group_of;  // -1: none
};

class Top1 final : public Evaluator {
 public:
  explicit Top1(const TestSamples& samples)
      : samples_{samples}, counts_(counts_per_score * (1 + samples.groups.size()), 0) {}

  void add(const augment::Batch& batch, const at::Tensor& logits) override {
    Pending pending;
    pending.predicted = logits.argmax(1);
    const auto classes = static_cast<std::ptrdiff_t>(batch.classes);
    for (std::int64_t i = 0; i < batch.size; ++i) {
      const auto first = batch.labels.begin() + static_cast<std::ptrdiff_t>(i) * classes;
      pending.truth.push_back(std::max_element(first, first + classes) - first);
      pending.group_of.push_back(group_of(samples_, batch.draws.at(static_cast<std::size_t>(i)).index));
    }
    pending_.push_back(std::move(pending));
  }

  void look() override {
    for (const auto& batch : pending_) {
      const auto predicted = batch.predicted.to(at::kCPU).contiguous();
      const auto* prediction = predicted.const_data_ptr<std::int64_t>();
      for (std::size_t i = 0; i < batch.truth.size(); ++i)
        count(prediction[i] == batch.truth[i] ? 1 : 0, batch.group_of[i]);
    }
    pending_.clear();
  }

  Evaluation finish(const comm::Communicator& ranks) override {
    return {scores_of(samples_, ranks.all_reduce(std::move(counts_), comm::Reduction::sum)), {}};
  }

 private:
  void count(std::int64_t correct, std::int32_t group) {
    const auto add_to = [&](std::size_t score) {
      counts_[counts_per_score * score] += correct;
      counts_[counts_per_score * score + 1] += 1;
    };
    add_to(0);
    if (group >= 0) add_to(1 + static_cast<std::size_t>(group));
  }

  const TestSamples& samples_;
  std::vector<std::int64_t> counts_;
  std::vector<Pending> pending_;
};

class SingleLabel final : public Objective {
 public:
  explicit SingleLabel(double smoothing) : smoothing_{smoothing} {}
  at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const override {
    return soft_cross_entropy(logits, smooth_labels(labels, smoothing_));
  }
  double counted(const DeviceBatch& share) const override { return static_cast<double>(share.size); }
  double counted_in_all(const comm::Communicator&, double, std::int64_t global_size) const override {
    return static_cast<double>(global_size);
  }
  at::Tensor probabilities(const at::Tensor& logits) const override {
    return logits.to(at::kDouble).softmax(1);
  }
  std::unique_ptr<Evaluator> start_evaluation(const TestSamples& samples) const override {
    return std::make_unique<Top1>(samples);
  }

 private:
  double smoothing_;
};

}  // namespace

std::unique_ptr<Objective> make_single_label(double label_smoothing) {
  return std::make_unique<SingleLabel>(label_smoothing);
}

}  // namespace deda::training
