#include "training/evaluation.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "training/device.h"
#include "training/device_feed.h"
#include "training/normalise.h"

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

// Pictures between two looks at predictions: looking waits for the device.
constexpr std::size_t batches_between_looks = 10;

Pending what_is_known(const augment::Batch& batch, const TestSamples& samples) {
  Pending pending;
  const auto classes = static_cast<std::ptrdiff_t>(batch.classes);
  for (std::int64_t i = 0; i < batch.size; ++i) {
    const auto first = batch.labels.begin() + static_cast<std::ptrdiff_t>(i) * classes;
    pending.truth.push_back(std::max_element(first, first + classes) - first);
    const auto index = static_cast<std::size_t>(batch.draws.at(static_cast<std::size_t>(i)).index);
    pending.group_of.push_back(index < samples.group_of.size() ? samples.group_of[index] : -1);
  }
  return pending;
}

void count(std::vector<Pending>& batches, std::vector<std::int64_t>& counts) {
  for (const auto& batch : batches) {
    const auto predicted = batch.predicted.to(at::kCPU).contiguous();
    const auto* prediction = predicted.const_data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < batch.truth.size(); ++i) {
      const std::int64_t correct = prediction[i] == batch.truth[i] ? 1 : 0;
      const auto add = [&](std::size_t score) {
        counts[counts_per_score * score] += correct;
        counts[counts_per_score * score + 1] += 1;
      };
      add(0);
      if (batch.group_of[i] >= 0) add(1 + static_cast<std::size_t>(batch.group_of[i]));
    }
  }
  batches.clear();
}

}  // namespace

std::vector<GroupScore> evaluate(models::Classifier& network, const TestSamples& samples,
                                 const comm::Communicator& ranks, at::Device device,
                                 const TrainConfig& config) {
  std::vector<std::int64_t> counts(counts_per_score * (1 + samples.groups.size()), 0);
  const bool was_training = network.is_training();
  network.eval();
  ranks.agree("evaluation", [&] {
    const c10::InferenceMode no_gradients;
    const AutocastScope autocast(config.precision, device.type());
    const Normaliser normalise(device, use_channels_last(config, device));
    DeviceFeed feed(samples.open(), device);
    std::vector<Pending> pending;
    while (const auto* batch = feed.next()) {
      if (batch->size > 0) {
        pending.push_back(what_is_known(*batch->host, samples));
        pending.back().predicted = network.forward(normalise(batch->pixels)).argmax(1);
      }
      feed.prefetch();
      if (pending.size() >= batches_between_looks) count(pending, counts);
    }
    count(pending, counts);
  });
  network.train(was_training);
  counts = ranks.all_reduce(std::move(counts), comm::Reduction::sum);

  std::vector<GroupScore> scores;
  for (std::size_t i = 0; i <= samples.groups.size(); ++i) {
    scores.push_back({i == 0 ? "all" : samples.groups[i - 1], counts[counts_per_score * i],
                      counts[counts_per_score * i + 1]});
  }
  return scores;
}

}  // namespace deda::training
