// Several devices: what an all-reduce moves, and the data-parallel step against copies of the training that
// do not talk to each other. One rank per device, under mpirun.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdio>
#include <vector>

#include "bench/measure.h"
#include "comm/c10d/process_group.h"
#include "comm/communicator.h"
#include "core/log.h"
#include "device/figures/report.h"
#include "device/figures/subcommands.h"
#include "device/kernels.h"
#include "device/place.h"
#include "training/device.h"
#include "training/device_feed.h"
#include "training/learner.h"

namespace deda::figures {
namespace {

constexpr double bytes_per_gigabyte = 1e9;
constexpr std::int64_t classes = 200;
constexpr int steps_a_turn = 10, pairs = 7;

// A share of the batch that stays on the device: what is measured is the step, not its input.
training::DeviceBatch fixed_share(std::int64_t size, std::int64_t side, at::Device device) {
  training::DeviceBatch batch;
  batch.size = size;
  batch.pixels = at::randint(0, 256, {size, side, side, 3}, at::kByte).to(device);
  batch.labels = at::softmax(at::randn({size, classes}), 1).to(device);
  return batch;
}

class ParallelFigures {
 public:
  ParallelFigures(const comm::Communicator& ranks, const Options& options)
      : ranks_{ranks},
        small_{options.small},
        place_{device::choose(ranks, options.device == "cpu" ? DeviceChoice::cpu : DeviceChoice::cuda,
                              "--device")} {
    if (place_.plugin != nullptr) device::use_reproducible_kernels();
  }

  void print_all_reduce() {
    const bool on_cpu = place_.device.is_cpu();
    const auto group =
        comm::make_process_group(ranks_, on_cpu ? comm::DeviceKind::cpu : comm::DeviceKind::cuda,
                                 on_cpu ? -1 : place_.device.index());
    const double bandwidth = comm::measure_all_reduce_bandwidth(*group, place_.device) / bytes_per_gigabyte;
    if (ranks_.is_root())
      print({"parallel.all_reduce", bandwidth, "GB/s", {}, fmt::format("64 MB over {} ranks", ranks_.size())});
  }

  void print_step(const std::string& network, training::Precision precision) {
    training::TrainConfig config;
    config.network = network;
    config.precision = precision;
    training::apply_precision(precision);
    const std::int64_t share = small_ ? 2 : 16, side = small_ ? 64 : 448;
    config.batch_size = share * ranks_.size();
    const auto own = comm::Communicator::self();
    training::Learner together(ranks_, config, classes, 1, place_), alone(own, config, classes, 1, place_);
    const auto batch = fixed_share(share, side, place_.device);
    const auto turn = [&](training::Learner& learner, std::int64_t global_size) {
      ranks_.barrier("a turn of the benchmark");
      return bench::seconds_of([&] {
        for (int step = 0; step < (small_ ? 2 : steps_a_turn); ++step) learner.step(batch, global_size, 0.0, nullptr);
        if (place_.plugin != nullptr) place_.plugin->synchronize();
      });
    };
    std::vector<double> ratios;
    turn(together, config.batch_size);
    turn(alone, share);
    for (int pair = 0; pair < pairs; ++pair) {
      // The slowest rank counts: the others wait for it in the next step.
      const auto slowest = [&](double seconds) {
        return ranks_.all_reduce(std::vector<double>{seconds}, comm::Reduction::maximum).front();
      };
      const double apart = slowest(turn(alone, share)), joined = slowest(turn(together, config.batch_size));
      ratios.push_back(apart / joined);
    }
    if (ranks_.is_root())
      print({fmt::format("parallel.{}.{}px.b{}.{}.step_share", network, side, share,
                         precision == training::Precision::bf16 ? "bf16" : "fp32"),
             bench::median(ratios), "of as many copies that do not talk", {},
             fmt::format("{} ranks, median of {} pairs", ranks_.size(), pairs)});
  }

 private:
  const comm::Communicator& ranks_;
  bool small_;
  device::Place place_;
};

}  // namespace

int print_parallel_figures(const Options& options, int argc, char** argv) {
  const comm::MpiEnvironment mpi(argc, argv);
  const auto ranks = comm::Communicator::world();
  set_up_log(ranks.rank(), ranks.size(), LogLevel::warning);
  if (ranks.size() == 1) {
    std::fputs("parallel measures several ranks, one per device: mpirun -n 2 device_figures parallel\n", stderr);
    return 2;
  }
  ParallelFigures figures(ranks, options);
  figures.print_all_reduce();
  for (const auto* network : {"resnet18", "resnet50"}) {
    figures.print_step(network, training::Precision::bf16);
    if (options.small) break;
    figures.print_step(network, training::Precision::fp32);
  }
  return 0;
}

}  // namespace deda::figures
