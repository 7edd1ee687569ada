// What an image-mixing method costs the training: steps on batches that are composed and mixed as training
// goes on, against plain ones; for methods that look at gradients also against plain steps with one more
// forward and backward pass, which they need by definition. In turns; the figure is the median of the ratios
// of neighbours. Targets: 1.03 for methods on 8-bit pixels, 1.05 for Guided-SR and, over that pass,
// Guided-AP.
//   bench_mixing METHOD [side 448] [batch 16] [steps per turn 1] [pairs 5] [torch threads 1] [composer
//   threads 1]
//                [network resnet18]
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "augment/pipeline.h"
#include "bench/measure.h"
#include "comm/communicator.h"
#include "core/allocator.h"
#include "core/config.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/toy.h"
#include "mixing/method.h"
#include "models/classifiers/batch_norm.h"
#include "training/device.h"
#include "training/learner.h"
#include "training/loss.h"
#include "training/normalise.h"

namespace {

using namespace deda;
using namespace deda::bench;

struct Options {
  std::string method = "cutmix", network = "resnet18";
  std::int64_t side = 448, batch = 16, steps = 1, pairs = 5, torch_threads = 1, composers = 1;
};

// One way to train, with its pictures and its network.
class Training {
 public:
  Training(const comm::Communicator& ranks, const data::Dataset& dataset, const Options& options,
           const std::string& method)
      : options_{options},
        source_{dataset, dataset.indices(data::Split::train), {}, augment_config(options, method), 1},
        learner_{ranks,        train_config(options),           source_.classes(), 1, {},
                 options.side, source_.config().mixing.active()} {}

  double turn(bool extra_pass = false) {
    const auto start = Clock::now();
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      const auto& batch = next();
      const auto share = training::as_tensors(batch);
      if (extra_pass) pass(share);
      // The rate is 0, so that the network stays as it is and each step costs the same.
      learner_.step(share, options_.batch, 0.0, nullptr, batch.mix ? &batch.mix->plan : nullptr);
    }
    return seconds_since(start);
  }

 private:
  static augment::AugmentConfig augment_config(const Options& options, const std::string& method) {
    augment::AugmentConfig config;
    ConfigSources sources;
    sources.overrides = {"method=" + method, fmt::format("crop={}", options.side),
                         fmt::format("resize_shorter={}", options.side + options.side / 7)};
    read_config(config, sources);
    if (config.mixing.chosen >= 0) {
      auto& settings = config.mixing.methods[static_cast<std::size_t>(config.mixing.chosen)];
      if (settings.has("mix_probability")) settings.set("mix_probability", 1.0);
    }
    return config;
  }
  static training::TrainConfig train_config(const Options& options) {
    training::TrainConfig config;
    config.network = options.network;
    return config;
  }

  const augment::Batch& next() {
    for (;;) {
      if (!stream_)
        stream_ = augment::open_training(source_, epoch_++, options_.batch, 0, 1,
                                         static_cast<int>(options_.composers), source_.config().ring_batches);
      if (const auto* batch = stream_->next(); batch != nullptr && batch->size == options_.batch)
        return *batch;
      stream_.reset();
    }
  }

  void pass(const training::DeviceBatch& share) {
    const models::RunningStatisticsKept kept(learner_.network());
    const auto pictures = training::Normaliser(at::kCPU, false)(share.pixels).requires_grad_();
    const auto loss = training::soft_cross_entropy(learner_.network().forward(pictures), share.labels);
    torch::autograd::grad({loss}, {pictures});
  }

  const Options& options_;
  augment::TrainingSource source_;
  training::Learner learner_;
  std::unique_ptr<augment::BatchStream> stream_;
  std::uint32_t epoch_ = 1;
};

void run(const comm::Communicator& ranks, const Options& options, const std::filesystem::path& folder) {
  data::ToyConfig toy;
  toy.size = options.side + options.side / 4;
  toy.train_per_class = 16;
  toy.test_per_class = 1;
  data::make_toy_dataset(ranks, toy, folder / "toy");
  data::DatasetConfig dataset_config;
  dataset_config.root = folder / "toy";
  const auto dataset = data::load_dataset(dataset_config);
  training::apply_torch_threads(options.torch_threads);
  Training plain(ranks, dataset, options, "plain"), mixed(ranks, dataset, options, options.method);
  plain.turn();
  mixed.turn();
  std::vector<double> ratios, over_pass, seconds;
  for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
    const double alone = plain.turn(), with = mixed.turn(), with_pass = plain.turn(true);
    ratios.push_back(with / alone);
    over_pass.push_back(with / with_pass);
    seconds.push_back(alone / static_cast<double>(options.steps));
  }
  fmt::print(
      "{}, {}, {} pixels, batch {}, {} torch threads, {} composers, load {:.1f}: a plain step {:.0f} ms; "
      "time "
      "with mixing / plain: median of {} pairs {:.3f}; / plain with one more pass {:.3f}\n",
      options.method, options.network, options.side, options.batch, options.torch_threads, options.composers,
      load_average(), 1e3 * median(seconds), ratios.size(), median(ratios), median(over_pass));
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  const auto ranks = comm::Communicator::self();
  set_up_log(0, 1, LogLevel::warning);
  Options options;
  if (argc > 1) options.method = argv[1];
  std::int64_t* const values[] = {&options.side,  &options.batch,         &options.steps,
                                  &options.pairs, &options.torch_threads, &options.composers};
  for (int i = 2; i < std::min(argc, 2 + static_cast<int>(std::size(values))); ++i)
    *values[i - 2] = std::max(1L, std::atol(argv[i]));
  constexpr auto network_place = static_cast<int>(2 + std::size(values));
  if (argc > network_place) options.network = argv[network_place];
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("deda-bench-mixing-{}", options.side);
  try {
    run(ranks, options, folder);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  std::filesystem::remove_all(folder);
  return 0;
}
