// How much the composition of De-DA samples costs the training: steps on batches that worker threads compose
// from a store as training goes on, against steps of the same network on one fixed batch. Both in turns; the
// figure is the median of the ratios of neighbours. The target is 1.03.
//   bench_training [side 224] [batch 8] [steps per turn 3] [pairs 7] [torch threads 1] [composer threads 1]
//                  [network resnet18]
// With several ranks instead what batch norm over all ranks costs: steps of `batch` pictures of all ranks
// together, and of as many a rank, with train.batch_norm = "global" against "local". The target is 0.90.
//   mpirun -n 2 bench_training [the same]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "augment/pipeline.h"
#include "bench/measure.h"
#include "comm/communicator.h"
#include "core/allocator.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/toy.h"
#include "decoupling/decouple.h"
#include "io/store/record_store.h"
#include "training/device.h"
#include "training/learner.h"

namespace {

using namespace deda;
using namespace deda::bench;
struct Options {
  std::int64_t side = 224, batch = 8, steps = 3, pairs = 7, torch_threads = 1, composers = 1;
  std::string network = "resnet18";
};

void run(const comm::Communicator& ranks, const Options& options, const std::filesystem::path& folder) {
  data::ToyConfig toy;
  toy.size = options.side + options.side / 4;
  toy.train_per_class = 40;
  toy.test_per_class = 1;
  data::make_toy_dataset(ranks, toy, folder / "toy");
  data::DatasetConfig dataset_config;
  dataset_config.root = folder / "toy";
  const auto dataset = data::load_dataset(dataset_config);
  const decoupling::DecoupleConfig decouple_config;
  decoupling::decouple(ranks, {.dataset = dataset,
                               .config = decouple_config,
                               .folder = folder / "store",
                               .threads = 2,
                               .trace = {},
                               .trace_steps = 0});

  augment::AugmentConfig augment_config;
  augment_config.crop = options.side;
  augment_config.resize_shorter = options.side + options.side / 7;
  augment_config.p_aug = 1.0;  // every sample is composed: the dearest case
  const auto training = dataset.indices(data::Split::train);
  augment::TrainingSource source(
      dataset, training, augment::PartPool(dataset, training, {io::StoreReader(folder / "store")}, {}),
      augment_config, 1);

  training::apply_torch_threads(options.torch_threads);
  training::TrainConfig config;
  config.network = options.network;
  training::Learner learner(ranks, config, source.classes(), 1, {}, options.side);
  std::uint32_t epoch = 1;
  std::unique_ptr<augment::BatchStream> stream;
  const auto next_batch = [&]() -> const augment::Batch& {
    for (;;) {
      if (!stream)
        stream = augment::open_training(source, epoch++, options.batch, 0, 1,
                                        static_cast<int>(options.composers), augment_config.ring_batches);
      if (const auto* batch = stream->next(); batch != nullptr && batch->size == options.batch) return *batch;
      stream.reset();
    }
  };
  const augment::Batch fixed = next_batch();
  const auto turn = [&](bool streamed) {
    const auto start = Clock::now();
    for (std::int64_t step = 0; step < options.steps; ++step) {
      // The rate is 0, so that the network stays as it is and each step costs the same.
      learner.step(training::as_tensors(streamed ? next_batch() : fixed), options.batch, 0.0, nullptr);
    }
    return static_cast<double>(options.steps * options.batch) / seconds_since(start);
  };
  turn(false);
  turn(true);
  std::vector<double> alone, composed, ratios;
  for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
    alone.push_back(turn(false));
    composed.push_back(turn(true));
    ratios.push_back(alone.back() / composed.back());
  }
  std::string load;
  std::getline(std::ifstream("/proc/loadavg"), load);
  fmt::print(
      "{6}, {0} x {0} pixels, batch {1}, {2} torch threads, {3} composers; load {4}; memory copy "
      "{5:.1f} GB/s\n",
      options.side, options.batch, options.torch_threads, options.composers, load,
      memory_copy_gigabytes_per_second(), options.network);
  fmt::print("network alone      best {:7.2f} images/s, median {:7.2f}\n",
             *std::max_element(alone.begin(), alone.end()), median(alone));
  fmt::print("composed samples   best {:7.2f} images/s, median {:7.2f}\n",
             *std::max_element(composed.begin(), composed.end()), median(composed));
  fmt::print("time with composition / network alone: median of {} pairs {:.3f}\n", ratios.size(),
             median(ratios));
}

// Pictures and labels of no meaning: the step costs the same.
augment::Batch made_up_batch(std::int64_t pictures, std::int64_t side, std::int32_t classes) {
  augment::Batch batch;
  batch.size = pictures;
  batch.height = batch.width = static_cast<std::int32_t>(side);
  batch.classes = classes;
  for (std::int64_t i = 0; i < pictures * side * side * 3; ++i)
    batch.pixels.push_back(static_cast<std::uint8_t>((i * 2654435761LL) >> 11));
  for (std::int64_t i = 0; i < pictures * classes; ++i)
    batch.labels.push_back(i % (classes + 1) == 0 ? 1.0f : 0.0f);
  batch.draws.resize(static_cast<std::size_t>(pictures));
  return batch;
}

void compare_batch_norm(const comm::Communicator& ranks, const Options& options) {
  constexpr std::int32_t classes = 200;
  training::apply_torch_threads(options.torch_threads);
  training::TrainConfig local, global;
  local.network = global.network = options.network;
  global.batch_norm = training::BatchNorm::global;
  training::Learner with_local(ranks, local, classes, 1, {}, options.side),
      with_global(ranks, global, classes, 1, {}, options.side);
  for (const auto all : {options.batch, options.batch * ranks.size()}) {
    const auto share = made_up_batch(all / ranks.size(), options.side, classes);
    const auto turn = [&](training::Learner& learner) {
      ranks.barrier("a turn");
      const auto start = Clock::now();
      for (std::int64_t step = 0; step < options.steps; ++step)
        learner.step(training::as_tensors(share), all, 0.0, nullptr);
      ranks.barrier("the turn's end");
      return seconds_since(start);
    };
    turn(with_local);
    turn(with_global);
    std::vector<double> ratios, steps;
    for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
      const double local_s = turn(with_local), global_s = turn(with_global);
      ratios.push_back(local_s / global_s);
      steps.push_back(global_s / static_cast<double>(options.steps));
    }
    if (!ranks.is_root()) continue;
    fmt::print(
        "{8}, {0} x {0} pixels, {1} pictures over {2} ranks of {3} torch threads, load {4:.1f}: a step "
        "with batch norm over all ranks {5:.0f} ms; speed against each rank's own, median of {6} pairs "
        "{7:.3f}\n",
        options.side, all, ranks.size(), options.torch_threads, load_average(), 1e3 * median(steps),
        ratios.size(), median(ratios), options.network);
  }
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  const auto world = comm::Communicator::world();
  const auto ranks = comm::Communicator::self();
  set_up_log(world.rank(), world.size(), LogLevel::warning);
  Options options;
  std::int64_t* const values[] = {&options.side,  &options.batch,         &options.steps,
                                  &options.pairs, &options.torch_threads, &options.composers};
  for (int i = 1; i < std::min(argc, 1 + static_cast<int>(std::size(values))); ++i)
    *values[i - 1] = std::max(1L, std::atol(argv[i]));
  constexpr auto network_place = static_cast<int>(1 + std::size(values));
  if (argc > network_place) options.network = argv[network_place];
  if (world.size() > 1) {
    compare_batch_norm(world, options);
    return 0;
  }
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("deda-bench-training-{}", options.side);
  try {
    run(ranks, options, folder);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  std::filesystem::remove_all(folder);
  return 0;
}
