// One side of eager_bench.py: says "ready", then, for every line on standard input, takes a turn of training
// steps of the learner on one made-up batch and prints the seconds.
//   bench_eager NETWORK SIDE BATCH STEPS_PER_TURN TORCH_THREADS
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "bench/measure.h"
#include "comm/communicator.h"
#include "core/allocator.h"
#include "core/log.h"
#include "training/device.h"
#include "training/learner.h"

int main(int argc, char** argv) {
  using namespace deda;
  if (argc < 6) return 2;
  keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  const auto ranks = comm::Communicator::self();
  set_up_log(0, 1, LogLevel::warning);
  const std::int64_t side = std::atol(argv[2]), size = std::atol(argv[3]), steps = std::atol(argv[4]);
  constexpr std::int32_t classes = 200;
  training::apply_torch_threads(std::atol(argv[5]));
  training::TrainConfig config;
  config.network = argv[1];
  training::Learner learner(ranks, config, classes, 1, {}, side);
  augment::Batch batch;
  batch.size = size;
  batch.height = batch.width = static_cast<std::int32_t>(side);
  batch.classes = classes;
  for (std::int64_t i = 0; i < size * side * side * 3; ++i)
    batch.pixels.push_back(static_cast<std::uint8_t>((i * 2654435761LL) >> 11));
  for (std::int64_t i = 0; i < size * classes; ++i)
    batch.labels.push_back(i % (classes + 1) == 0 ? 1.0f : 0.0f);
  batch.draws.resize(static_cast<std::size_t>(size));
  const auto share = training::as_tensors(batch);
  const auto turn = [&] {
    const auto start = bench::Clock::now();
    // The rate is 0, so that the network stays as it is and each step costs the same.
    for (std::int64_t step = 0; step < steps; ++step) learner.step(share, size, 0.0, nullptr);
    return bench::seconds_since(start);
  };
  turn();
  fmt::print("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    fmt::print("{:.6f}\n", turn());
    std::fflush(stdout);
  }
  return 0;
}
