// One training step of ResNet-18 on every rank: gradients averaged by buckets that overlap with backward, by
// one blocking all-reduce per parameter afterwards, and not at all (copies that do not communicate). The
// three take turns in one run. Twice: small pictures, where communication weighs and overlap must show, and
// recipe A's own (16 pictures of 448 pixels over two ranks), where it must not be felt.
//   mpirun -n 2 bench_reducer [batch per rank] [side] [turns]: one size only
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "bench/measure.h"
#include "comm/c10d/process_group.h"
#include "comm/c10d/reducer.h"
#include "comm/communicator.h"
#include "core/allocator.h"
#include "models/registry.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr int warm_up = 2;
struct Size {
  std::int64_t batch, side;
  int turns;
};
constexpr Size small_pictures{8, 224, 15}, recipe_a{8, 448, 5};
constexpr double target_over_blocking = 1.10, target_of_copies = 0.95;

struct Replica {
  std::shared_ptr<models::Classifier> network = models::make_classifier("resnet18", 200);
  std::vector<at::Tensor> parameters = network->parameters();
  at::Tensor pictures, labels;
  Replica(std::int64_t batch, std::int64_t side)
      : pictures{at::randn({batch, 3, side, side})}, labels{at::zeros({batch}, at::kLong)} {
    network->train();
  }
  at::Tensor loss() {
    for (const at::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) parameter.mutable_grad().zero_();
    }
    return torch::cross_entropy_loss(network->forward(pictures), labels);
  }
};

void measure(const comm::Communicator& ranks, const c10::intrusive_ptr<c10d::ProcessGroup>& group,
             const Size& size) {
  const auto [batch, side, turns] = size;
  Replica bucketed(batch, side), blocking(batch, side), alone(batch, side);
  comm::GradientReducer reducer(bucketed.parameters, group);
  // Seconds of the slowest rank for one step.
  const auto timed = [&](const auto& step) {
    ranks.barrier("turn");
    const auto start = std::chrono::steady_clock::now();
    step();
    const double mine = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return ranks.all_reduce(std::vector<double>{mine}, comm::Reduction::maximum)[0];
  };
  const auto bucketed_step = [&] {
    reducer.prepare_for_forward();
    const at::Tensor loss = bucketed.loss();
    reducer.prepare_for_backward(loss);
    loss.backward();
    reducer.require_reduced();
  };
  const auto blocking_step = [&] {
    blocking.loss().backward();
    for (const at::Tensor& parameter : blocking.parameters) {
      std::vector<at::Tensor> gradients = {parameter.mutable_grad()};
      group->allreduce(gradients)->wait();
      gradients[0].div_(ranks.size());
    }
  };
  const auto alone_step = [&] { alone.loss().backward(); };
  std::vector<double> with_buckets, with_blocking, without, over_blocking, of_copies;
  for (int turn = -warm_up; turn < turns; ++turn) {
    const double a = timed(bucketed_step), b = timed(blocking_step), c = timed(alone_step);
    if (turn < 0) continue;
    with_buckets.push_back(a);
    with_blocking.push_back(b);
    without.push_back(c);
    over_blocking.push_back(b / a);
    of_copies.push_back(c / a);
  }
  if (ranks.is_root()) {
    const double load = load_average();
    std::printf(
        "ResNet-18, %d ranks, %lld pictures of %lld px each, one thread a rank, median of %d turns, load "
        "%.1f\n",
        ranks.size(), static_cast<long long>(batch), static_cast<long long>(side), turns, load);
    std::printf("%-52s %8.0f ms\n%-52s %8.0f ms\n%-52s %8.0f ms\n",
                "step, buckets that overlap with backward", 1e3 * median(with_buckets),
                "step, one blocking all-reduce per parameter", 1e3 * median(with_blocking),
                "step, copies that do not communicate", 1e3 * median(without));
    const auto verdict = [](double value, double target) { return value >= target ? "reached" : "missed"; };
    std::printf("%-52s %8.2f (target %.2f: %s)\n", "speed-up over blocking", median(over_blocking),
                target_over_blocking, verdict(median(over_blocking), target_over_blocking));
    std::printf("%-52s %7.1f%% (target %.0f%%: %s)\n", "of copies that do not communicate",
                100 * median(of_copies), 100 * target_of_copies,
                verdict(median(of_copies), target_of_copies));
  }
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  const auto ranks = comm::Communicator::world();
  at::set_num_threads(1);
  const auto group = comm::make_process_group(ranks, comm::DeviceKind::cpu);
  if (argc > 1) {
    const auto number = [&](int index, int least, int otherwise) {
      return argc > index ? std::max(least, std::atoi(argv[index])) : otherwise;
    };
    measure(ranks, group, {number(1, 2, 8), number(2, 32, 224), number(3, 1, 9)});
    return 0;
  }
  measure(ranks, group, small_pictures);
  measure(ranks, group, recipe_a);
  return 0;
}
