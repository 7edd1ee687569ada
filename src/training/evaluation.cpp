#include "training/evaluation.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "core/error.h"
#include "training/device.h"
#include "training/normalise.h"

namespace deda::training {
namespace {

// Counts lie as [score][correct, total].
constexpr std::size_t counts_per_score = 2;

void count_batch(const augment::Batch& batch, const at::Tensor& logits, const TestSamples& samples,
                 std::vector<std::int64_t>& counts) {
  const auto predicted = logits.argmax(1).to(at::kCPU).contiguous();
  const auto labels =
      at::from_blob(const_cast<float*>(batch.labels.data()), {batch.size, batch.classes}, at::kFloat)
          .argmax(1)
          .contiguous();
  const auto* prediction = predicted.const_data_ptr<std::int64_t>();
  const auto* truth = labels.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < batch.size; ++i) {
    const std::int64_t correct = prediction[i] == truth[i] ? 1 : 0;
    const auto add = [&](std::size_t score) {
      counts[counts_per_score * score] += correct;
      counts[counts_per_score * score + 1] += 1;
    };
    add(0);
    const auto index = static_cast<std::size_t>(batch.draws.at(static_cast<std::size_t>(i)).index);
    const std::int32_t group = index < samples.group_of.size() ? samples.group_of[index] : -1;
    if (group >= 0) add(1 + static_cast<std::size_t>(group));
  }
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
    const auto stream = samples.open();
    while (const auto* batch = stream->next()) {
      if (batch->size == 0) continue;
      const auto pictures = normalise(batch->pixels, batch->size, batch->height, batch->width, device,
                                      use_channels_last(config, device));
      count_batch(*batch, network.forward(pictures), samples, counts);
    }
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
