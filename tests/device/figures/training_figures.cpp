// Training steps of every classifier: the network alone, the learner on one batch, the learner on composed
// samples; and how long the learner waits for them. The samples take seconds to draw and are for the last of
// a precision's figures: the others do not wait for them.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "core/error.h"
#include "core/log.h"
#include "device/figures/learner_step.h"
#include "device/figures/network_alone.h"
#include "device/figures/rates.h"
#include "device/figures/subcommands.h"
#include "device/figures/toy_samples.h"
#include "device/host_memory.h"
#include "models/classifiers/facts.h"
#include "support/temporary_folder.h"
#include "training/device.h"

namespace deda::figures {
namespace {

using training::Precision;
constexpr std::int64_t toy_classes = 6;

struct Case {
  std::string network;
  std::int64_t batch = 0;
  Precision precision = Precision::fp32;
  double alone = 0;  // images a second of the network without an input path; 0 where that failed
};

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::bf16: return "bf16";
    case Precision::fp16: return "fp16";
    case Precision::tf32: return "tf32";
    default: return "fp32";
  }
}

// Whatever the registry can build.
std::vector<std::string> classifiers() {
  std::vector<std::string> names;
  for (const auto& facts : models::classifier_facts) names.emplace_back(facts.name);
  return names;
}

// The paper's batch and a large one.
std::vector<std::int64_t> batches(bool small) {
  return small ? std::vector<std::int64_t>{2} : std::vector<std::int64_t>{16, 64};
}
std::int64_t largest_batch(bool small) {
  return batches(small).back();
}

// fp16, which newer cards need not, at the large batch only.
std::vector<Case> cases_of(Precision precision, bool small) {
  std::vector<Case> all;
  for (const auto& network : classifiers()) {
    for (const auto batch : batches(small)) {
      if (precision == Precision::fp16 && batch != largest_batch(small)) continue;
      all.push_back({network, batch, precision});
    }
  }
  return all;
}

augment::Batch made_up_batch(std::int64_t size, std::int64_t side) {
  augment::Batch batch;
  batch.size = size;
  batch.height = batch.width = static_cast<std::int32_t>(side);
  batch.classes = static_cast<std::int32_t>(toy_classes);
  const auto pixels = at::randint(0, 256, {size * side * side * 3}, at::kByte);
  batch.pixels.assign(pixels.data_ptr<std::uint8_t>(), pixels.data_ptr<std::uint8_t>() + pixels.numel());
  batch.labels.assign(static_cast<std::size_t>(size * toy_classes), 1.0f / static_cast<float>(toy_classes));
  batch.draws.resize(static_cast<std::size_t>(size));
  return batch;
}

class TrainingFigures {
 public:
  // `ranks`: null where there are no samples.
  TrainingFigures(const Workbench& bench, const comm::Communicator* ranks)
      : bench_{bench},
        ranks_{ranks},
        side_{bench.small() ? 32 : 448},
        rates_{print_rates(bench, "training")} {}

  // The precision that is meant for GPUs first, then V100's, which is fp32 on CPUs.
  void print() {
    print(Precision::bf16);
    if (bench_.on_gpu()) print(Precision::fp16);
    for (const auto precision : {Precision::tf32, Precision::fp32}) print(precision);
  }

 private:
  void print(Precision precision) {
    training::apply_precision(precision);
    auto cases = cases_of(precision, bench_.small());
    for (auto& each : cases) {
      choose(each);
      bench_.attempt(name_ + ".network", [&] { each.alone = print_network_alone(each); });
      if (ranks_ == nullptr) continue;
      bench_.attempt(name_ + ".learner", [&] { print_learner(each, false); });
      if (bench_.on_gpu()) bench_.attempt(name_ + ".learner.graph", [&] { print_learner(each, true); });
    }
    for (const auto& each : cases) {
      if (ranks_ == nullptr) break;
      choose(each);
      draw_samples();
      bench_.attempt(name_ + ".composed", [&] { print_composed(each); });
    }
    for (const auto& each : cases) {
      if (precision != Precision::bf16 || each.batch != largest_batch(bench_.small())) continue;
      choose(each);
      bench_.attempt(name_ + ".network.autotuned", [&] { print_autotuned(each); });
    }
  }

  // What the next figures are of.
  void choose(const Case& each) {
    config_.network = each.network;
    config_.precision = each.precision;
    name_ = fmt::format("training.{}.{}px.b{}.{}", each.network, side_, each.batch,
                        precision_name(each.precision));
  }

  // Once, when the first figure needs them.
  void draw_samples() {
    if (samples_) return;
    bench_.attempt("training.samples", [&] {
      const std::int64_t pictures_per_class = bench_.small() ? 4 : 8;
      const double seconds = bench::seconds_of([&] {
        samples_ = std::make_unique<ToySamples>(*ranks_, folder_.path(), side_, pictures_per_class);
      });
      figures::print({"training.samples", seconds, "s", {}, "the toy dataset drawn and decoupled"});
    });
  }

  double print_network_alone(const Case& each) {
    NetworkAlone network(config_, toy_classes, each.batch, side_, bench_.device());
    const double operations = network.operations_per_step() / static_cast<double>(each.batch);
    const double rate = bench_.print_rate(name_ + ".network", static_cast<double>(each.batch), "images/s",
                                          [&] { network.step(); });
    if (!network.finite()) throw ModelError("the loss is not finite");
    print_share(name_ + ".network", rate * operations,
                each.precision == Precision::bf16 || each.precision == Precision::fp16 ? rates_.bf16
                : each.precision == Precision::tf32 ? rates_.tf32
                                                    : rates_.fp32);
    return rate;
  }

  // With kernels that cuDNN chose by trial.
  void print_autotuned(const Case& each) {
    struct Autotuning {
      Autotuning() { at::globalContext().setBenchmarkCuDNN(true); }
      ~Autotuning() { at::globalContext().setBenchmarkCuDNN(false); }
    } autotuning;
    NetworkAlone network(config_, toy_classes, each.batch, side_, bench_.device());
    bench_.print_rate(name_ + ".network.autotuned", static_cast<double>(each.batch), "images/s",
                      [&] { network.step(); });
  }

  static void print_share_of_network(const std::string& name, double rate, const Case& each) {
    if (each.alone > 0) figures::print({name + ".network_share", rate / each.alone, "of the network alone"});
  }

  // On a batch that is on the device already; `graph`: the whole step recorded.
  void print_learner(const Case& each, bool graph) {
    auto config = config_;
    config.batch_size = each.batch;
    config.captured_graphs = graph;
    LearnerSteps learner(*ranks_, config, toy_classes, side_, bench_);
    const auto made_up = made_up_batch(each.batch, side_);
    const auto fixed = training::on_device(made_up, bench_.device());
    const auto name = name_ + (graph ? ".learner.graph" : ".learner");
    const double rate =
        bench_.print_rate(name, static_cast<double>(each.batch), "images/s", [&] { learner.step(fixed); });
    print_share_of_network(name, rate, each);
  }

  void print_composed(const Case& each) {
    if (!samples_) throw std::runtime_error("there are no samples");
    LearnerSteps learner(*ranks_, config_, toy_classes, side_, bench_);
    // As training's plan of the cores has it: one launches kernels, the others compose.
    const auto workers = static_cast<int>(std::max(2u, std::thread::hardware_concurrency()) - 1);
    learner.open(samples_->open(each.batch, workers, device::host_memory_for(bench_.device())));
    at::Tensor loss;
    double busy_from = 0, waited_from = 0, steps = 0;
    const auto start = bench::Clock::now();
    const double rate = bench_.print_rate(name_ + ".composed", static_cast<double>(each.batch), "images/s",
                                          [&] {
                                            loss = learner.step_on_stream();
                                            // The first steps choose kernels: what they wait for tells
                                            // nothing.
                                            constexpr double warm_up_steps = 2;
                                            if (++steps == warm_up_steps) {
                                              busy_from = bench::seconds_since(start);
                                              waited_from = learner.seconds_waited();
                                            }
                                          },
                                          {.note = fmt::format("{} composers", workers)});
    if (!at::isfinite(loss).item<bool>()) throw ModelError("the loss is not finite");
    print_share_of_network(name_ + ".composed", rate, each);
    const double waited = learner.seconds_waited() - waited_from;
    figures::print(
        {name_ + ".composed.wait_share", waited / (bench::seconds_since(start) - busy_from), "of the time"});
  }

  const Workbench& bench_;
  const comm::Communicator* ranks_;
  std::int64_t side_;
  Rates rates_;
  test::TemporaryFolder folder_;
  std::unique_ptr<ToySamples> samples_;
  training::TrainConfig config_;
  std::string name_;
};

}  // namespace

int print_training_figures(const Options& options, int argc, char** argv) {
  const Workbench bench(options);
  if (options.without_samples) {
    TrainingFigures(bench, nullptr).print();
    print_copy_rates(bench, "training");
    return 0;
  }
  comm::MpiEnvironment mpi(argc, argv);
  set_up_log(0, 1, LogLevel::warning);
  const auto ranks = comm::Communicator::self();
  TrainingFigures(bench, &ranks).print();
  print_copy_rates(bench, "training");
  return 0;
}

}  // namespace deda::figures
