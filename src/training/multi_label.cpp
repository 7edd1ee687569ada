// Several classes per picture: binary cross entropy over the entries that count, exact match per group, mAP
// and F1 over all pictures. Logits and labels of all test pictures are gathered on rank 0, so that what
// cannot be summed is exact over the ranks.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"
#include "training/loss.h"
#include "training/multi_label_metrics.h"
#include "training/objective_names.h"
#include "training/objectives.h"

namespace deda::training {
namespace {

struct PendingLogits {
  at::Tensor logits;                   // [B, classes] float32 on the device
  std::vector<std::int64_t> pictures;  // Draws::index
};

std::int8_t sign_of(float label) {
  return label < 0 ? std::int8_t{-1} : label > 0 ? std::int8_t{1} : std::int8_t{0};
}

// All ranks' numbers on rank 0, rank by rank; nothing on the others.
template <class Number>
std::vector<Number> gathered(const comm::Communicator& ranks, const std::vector<Number>& mine) {
  std::vector<Number> all;
  const auto bytes =
      std::span(reinterpret_cast<const std::uint8_t*>(mine.data()), mine.size() * sizeof(Number));
  for (const auto& part : ranks.gather(bytes)) {
    const auto before = all.size();
    all.resize(before + part.size() / sizeof(Number));
    if (!part.empty()) std::memcpy(all.data() + before, part.data(), part.size());
  }
  return all;
}

class MultiLabelEvaluator final : public Evaluator {
 public:
  explicit MultiLabelEvaluator(const TestSamples& samples)
      : samples_{samples}, counts_(2 * (1 + samples.groups.size()), 0) {}

  void add(const augment::Batch& batch, const at::Tensor& logits) override {
    classes_ = static_cast<std::size_t>(batch.classes);
    PendingLogits pending{logits.detach().to(at::kFloat), {}};
    for (const auto& draws : batch.draws) pending.pictures.push_back(draws.index);
    for (std::size_t i = 0; i < pending.pictures.size() * classes_; ++i)
      labels_.push_back(sign_of(batch.labels[i]));
    pending_.push_back(std::move(pending));
  }

  void look() override {
    for (const auto& batch : pending_) {
      const auto logits = batch.logits.to(at::kCPU).contiguous();
      const auto* values = logits.const_data_ptr<float>();
      if (!std::all_of(values, values + logits.numel(), [](float value) { return std::isfinite(value); }))
        throw ModelError("an output of the network is not a finite number, so that pictures cannot be ranked",
                         "", "Look at the run's losses; train.precision = \"fp32\" has the widest range.");
      for (std::size_t i = 0; i < batch.pictures.size(); ++i) {
        const std::span<const float> own(values + i * classes_, classes_);
        count(exact_match(own, std::span(labels_).subspan(logits_.size(), classes_)), batch.pictures[i]);
        logits_.insert(logits_.end(), own.begin(), own.end());
      }
    }
    pending_.clear();
  }

  Evaluation finish(const comm::Communicator& ranks) override {
    Evaluation evaluation{scores_of(samples_, ranks.all_reduce(std::move(counts_), comm::Reduction::sum)),
                          {}};
    const auto logits = gathered(ranks, logits_);
    const auto labels = gathered(ranks, labels_);
    // Rank 0's numbers for everybody: value and whether it is defined, per metric.
    std::vector<double> values(2 * multi_label_metric_names.size(), 0.0);
    if (ranks.is_root() && !labels.empty()) {
      const auto metrics = multi_label_metrics(logits, labels, classes_of(labels.size()));
      const std::array<std::optional<double>, multi_label_metric_names.size()> found{
          metrics.mean_average_precision, metrics.mean_average_precision_11_point, metrics.f1_micro,
          metrics.f1_macro};
      for (std::size_t i = 0; i < found.size(); ++i) {
        values[2 * i] = found[i].value_or(0.0);
        values[2 * i + 1] = found[i] ? 1.0 : 0.0;
      }
    }
    values = ranks.all_reduce(std::move(values), comm::Reduction::sum);
    for (std::size_t i = 0; i < multi_label_metric_names.size(); ++i) {
      if (values[2 * i + 1] > 0)
        evaluation.metrics.push_back({std::string{multi_label_metric_names[i]}, values[2 * i]});
    }
    return evaluation;
  }

 private:
  // Rank 0 may have had no picture itself.
  std::size_t classes_of(std::size_t entries) const {
    return classes_ > 0 ? classes_ : entries / static_cast<std::size_t>(samples_.count);
  }
  void count(const std::optional<bool>& right, std::int64_t picture) {
    if (!right) return;
    const auto add_to = [&](std::size_t score) {
      counts_[2 * score] += *right ? 1 : 0;
      counts_[2 * score + 1] += 1;
    };
    add_to(0);
    if (const auto group = group_of(samples_, picture); group >= 0)
      add_to(1 + static_cast<std::size_t>(group));
  }

  const TestSamples& samples_;
  std::size_t classes_ = 0;
  std::vector<std::int64_t> counts_;  // [score][right, counted pictures]
  std::vector<PendingLogits> pending_;
  std::vector<float> logits_;        // [looked-at pictures, classes]
  std::vector<std::int8_t> labels_;  // [pictures, classes]
};

class MultiLabel final : public Objective {
 public:
  at::Tensor loss(const at::Tensor& logits, const at::Tensor& labels) const override {
    return masked_binary_cross_entropy(logits, labels);
  }
  // Counted where the batch was composed: asking the device would wait for it.
  double counted(const DeviceBatch& share) const override {
    if (share.size == 0) return 0;
    if (share.host == nullptr) return static_cast<double>(share.labels.ge(0).sum().item<std::int64_t>());
    const auto& labels = share.host->labels;
    return static_cast<double>(
        std::count_if(labels.begin(), labels.end(), [](float label) { return label >= 0; }));
  }
  double counted_in_all(const comm::Communicator& ranks, double own, std::int64_t) const override {
    return ranks.size() == 1 ? own : ranks.all_reduce(std::vector<double>{own}, comm::Reduction::sum).front();
  }
  at::Tensor probabilities(const at::Tensor& logits) const override {
    return logits.to(at::kDouble).sigmoid();
  }
  std::unique_ptr<Evaluator> start_evaluation(const TestSamples& samples) const override {
    return std::make_unique<MultiLabelEvaluator>(samples);
  }
};

}  // namespace

std::unique_ptr<Objective> make_multi_label() {
  return std::make_unique<MultiLabel>();
}

}  // namespace deda::training
