#include "training/evaluation.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "core/error.h"
#include "training/device.h"
#include "training/device_feed.h"
#include "training/normalise.h"

namespace deda::training {

// Looking at predictions waits for the device.
static constexpr std::int64_t batches_between_looks = 10;

Evaluation evaluate(models::Classifier& network, const TestSamples& samples, const comm::Communicator& ranks,
                    at::Device device, const TrainConfig& config) {
  const auto evaluator = make_objective(config)->start_evaluation(samples);
  const bool was_training = network.is_training();
  network.eval();
  ranks.agree("evaluation", [&] {
    const c10::InferenceMode no_gradients;
    const AutocastScope autocast(config.precision, device.type());
    const Normaliser normalise(device, use_channels_last(config, device));
    DeviceFeed feed(samples.open(), device);
    std::int64_t batches = 0;
    while (const auto* batch = feed.next()) {
      if (batch->size > 0) evaluator->add(*batch->host, network.forward(normalise(batch->pixels)));
      feed.prefetch();
      if (++batches % batches_between_looks == 0) evaluator->look();
    }
    evaluator->look();
  });
  network.train(was_training);
  return evaluator->finish(ranks);
}

}  // namespace deda::training
