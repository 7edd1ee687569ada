// What decoupling costs beside its network: the whole stage (decode, mask, cut, fill, store) on real or
// made-up pictures against DeepLab alone on the same pictures, decoded beforehand; by the clock and by
// processor time, which other programs on the machine disturb less. The target is 1.10 where the network runs
// on a device of its own; where it shares the cores with the rest, the ratio tells what the rest costs. On
// several ranks also: all ranks on one stage against as many copies that do not communicate, each with its
// share of the pictures; the target is 0.95.
//   [mpirun -n N] bench_decouple DEEPLAB_FOLDER PETS_FOLDER WORK_FOLDER [pictures 40] [threads 1] [repeats 3]
//   [networks at once 0]
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "bench/measure.h"
#include "comm/communicator.h"
#include "core/allocator.h"
#include "core/log.h"
#include "data/dataset.h"
#include "data/picture.h"
#include "decoupling/decouple.h"
#include "decoupling/networks/sources.h"
#include "models/classifiers/deeplab.h"

namespace {

using namespace deda;
using namespace deda::bench;
namespace fs = std::filesystem;

struct Times {
  double clock_s = 0, processor_s = 0;
};

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <class Work>
Times timed(const comm::Communicator& ranks, const Work& work) {
  ranks.barrier("start of a measurement");
  const auto start = std::chrono::steady_clock::now();
  const double before = processor_seconds();
  work();
  const double used = processor_seconds() - before;
  ranks.barrier("end of a measurement");
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), used};
}

double memory_peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void run(const comm::Communicator& ranks, const fs::path& network, const fs::path& pets, const fs::path& work,
         std::size_t pictures, int threads, int repeats, int networks_at_once) {
  data::DatasetConfig dataset_config;
  dataset_config.layout = data::Layout::pets;
  dataset_config.root = pets;
  data::Dataset dataset = data::load_dataset(dataset_config);
  dataset.items.resize(std::min(pictures, dataset.items.size()));
  decoupling::DecoupleConfig config;
  config.sources = {"semantic"};
  config.split = decoupling::SplitChoice::all;
  config.deeplab = network;
  config.device = DeviceChoice::cpu;
  config.networks_at_once = networks_at_once;
  // As many threads as may be inside the network: what a device of its own would be.
  const int network_threads = networks_at_once > 0 ? networks_at_once : threads;
  decoupling::register_network_sources(ranks, config);

  // This rank's share for the measurements without communication.
  data::Dataset share = dataset;
  share.items.clear();
  for (std::size_t i = static_cast<std::size_t>(ranks.rank()); i < dataset.items.size();
       i += static_cast<std::size_t>(ranks.size()))
    share.items.push_back(dataset.items[i]);
  std::vector<io::Image> decoded;
  for (const auto& item : share.items) decoded.push_back(data::load_picture(dataset, item).image);
  const models::DeepLab alone(network);
  const auto network_alone = [&] {
    std::atomic<std::size_t> next{0};
    const auto one_thread = [&] {
      for (std::size_t i = next++; i < decoded.size(); i = next++) alone.segment({&decoded[i]});
    };
    std::vector<std::thread> others;
    for (int i = 1; i < network_threads; ++i) others.emplace_back(one_thread);
    one_thread();
    for (auto& each : others) each.join();
  };
  int number = 0;
  const auto stage = [&](const comm::Communicator& who, const data::Dataset& what, const std::string& name) {
    decoupling::decouple(who, {.dataset = what,
                               .config = config,
                               .folder = work / fmt::format("{}-{}", name, number++),
                               .threads = threads,
                               .trace = std::nullopt,
                               .trace_steps = 0});
  };
  network_alone();  // pages and kernels are warm for all that follows
  std::vector<double> clock_ratio, processor_ratio, together_ratio;
  for (int i = 0; i < repeats; ++i) {
    const Times net = timed(ranks, network_alone);
    const Times whole = timed(ranks, [&] { stage(ranks, dataset, "together"); });
    clock_ratio.push_back(whole.clock_s / net.clock_s);
    processor_ratio.push_back(whole.processor_s / net.processor_s);
    if (ranks.size() > 1) {
      const Times copies = timed(
          ranks, [&] { stage(comm::Communicator::self(), share, fmt::format("copy-{}", ranks.rank())); });
      together_ratio.push_back(copies.clock_s / whole.clock_s);
    }
    if (ranks.is_root())
      fmt::print("  {:.1f} ms a picture and thread alone, {:.1f} ms in the stage\n",
                 1e3 * net.processor_s / static_cast<double>(decoded.size()),
                 1e3 * whole.processor_s / static_cast<double>(decoded.size()));
  }
  if (!ranks.is_root()) return;
  fmt::print(
      "decoupling, {} pictures, {} ranks of {} threads: stage over network alone {:.3f} by the clock, {:.3f} "
      "by "
      "processor time; peak memory {:.0f} MB\n",
      dataset.items.size(), ranks.size(), threads, median(clock_ratio), median(processor_ratio),
      memory_peak_mb());
  if (ranks.size() > 1)
    fmt::print("{} ranks together reach {:.3f} of as many copies that do not communicate\n", ranks.size(),
               median(together_ratio));
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  if (argc < 4) {
    fmt::print(
        "usage: bench_decouple DEEPLAB_FOLDER PETS_FOLDER WORK_FOLDER [pictures 40] [threads 1] [repeats "
        "3]\n");
    return 2;
  }
  const auto ranks = comm::Communicator::world();
  set_up_log(ranks.rank(), ranks.size(), LogLevel::warning);
  const auto number = [&](int place, int otherwise) {
    return argc > place ? std::atoi(argv[place]) : otherwise;
  };
  run(ranks, argv[1], argv[2], argv[3], static_cast<std::size_t>(number(4, 40)), number(5, 1), number(6, 3),
      number(7, 0));
  return 0;
}
