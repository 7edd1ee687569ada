// Batch norm over all ranks: the layer against torch's on the whole batch, and whole trainings at any number
// of ranks against one.
#include "models/classifiers/batch_norm.h"

#include <torch/torch.h>

#include "comm/c10d/process_group.h"
#include "models/classifiers/initialise.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "training/learner.h"
#include "training/normalise.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

using test::made_up;
using GlobalBatchNormTest = TrainerTest;

double over_ranks(const Communicator& ranks, double value, comm::Reduction reduction) {
  return ranks.all_reduce(std::vector<double>{value}, reduction).front();
}

double largest(const at::Tensor& difference) {
  return difference.numel() == 0 ? 0.0 : difference.to(at::kDouble).abs().max().item<double>();
}

// The rows of a batch that are this rank's, as training cuts it.
at::Tensor share_of_batch(const at::Tensor& batch, const Communicator& ranks) {
  return batch.slice(0, ranks.rank(), batch.size(0), ranks.size());
}

c10::intrusive_ptr<models::GlobalBatch> batch_over(c10::intrusive_ptr<c10d::ProcessGroup> group) {
  auto batch = c10::make_intrusive<models::GlobalBatch>();
  batch->add_up = [group = std::move(group)](at::Tensor& sums) {
    std::vector<at::Tensor> one{sums};
    group->allreduce(one)->wait();
  };
  return batch;
}

TEST_F(GlobalBatchNormTest, LayerGivesTorchsNumbersOfTheWholeBatchForwardAndBackwardWithEmptySharesToo) {
  const auto global = batch_over(comm::make_process_group(ranks_, comm::DeviceKind::cpu));
  constexpr std::int64_t channels = 5;
  for (const auto type : {at::kDouble, at::kFloat}) {
    const double limit = type == at::kDouble ? 1e-12 : 2e-6;
    torch::nn::BatchNorm2d whole(channels);
    models::BatchNorm2d layer(channels);
    const torch::NoGradGuard no_gradients;
    for (auto* norm : {static_cast<torch::nn::BatchNorm2dImpl*>(whole.get()),
                       static_cast<torch::nn::BatchNorm2dImpl*>(layer.get())}) {
      norm->weight.copy_(made_up(1, {channels}, 0.5, 1.5));
      norm->bias.copy_(made_up(2, {channels}));
      norm->to(type);
      norm->train();
    }
    layer->use_global_batch(global);
    // Equal shares, unequal ones, and a batch for some ranks alone.
    for (const std::int64_t pictures : {8, 7, 2, 1}) {
      SCOPED_TRACE(pictures);
      const torch::AutoGradMode gradients(true);
      // Far from zero, so that a variance from squares in float32 would show.
      auto x = made_up(10 + static_cast<std::uint64_t>(pictures), {pictures, channels, 3, 4}, 20, 23)
                   .to(type)
                   .requires_grad_(true);
      const auto output_gradient =
          made_up(30 + static_cast<std::uint64_t>(pictures), {pictures, channels, 3, 4}).to(type);
      const auto expected = whole(x);
      expected.backward(output_gradient);

      auto own = share_of_batch(x.detach(), ranks_).clone();
      global->takes_part = own.size(0) > 0;
      // A rank without pictures sends one of its own through, at another place and of another size.
      if (!global->takes_part) own = at::full({1, channels, 2, 2}, 7, type);
      own.requires_grad_(true);
      const auto found = layer(own);
      const auto statistics = layer->running_mean.clone();
      EXPECT_TRUE(at::equal(layer->again(own, layer->weight, layer->bias), found));
      EXPECT_TRUE(at::equal(layer->running_mean, statistics));
      const auto own_gradient = share_of_batch(output_gradient, ranks_);
      found.backward(global->takes_part ? own_gradient : at::zeros_like(found));
      if (global->takes_part) {
        EXPECT_LE(largest(found.detach() - share_of_batch(expected.detach(), ranks_)), 10 * limit);
        EXPECT_LE(largest(own.grad() - share_of_batch(x.grad(), ranks_)), 10 * limit);
      } else {
        EXPECT_EQ(largest(own.grad()), 0);
        EXPECT_TRUE(at::isfinite(found).all().item<bool>());
      }
      // Gradients of parameters are this rank's part of a sum.
      for (const auto& [ours, torchs] :
           {std::pair{layer->weight, whole->weight}, {layer->bias, whole->bias}}) {
        auto sum = ours.grad().clone();
        global->add_up(sum);
        EXPECT_LE(largest(sum - torchs.grad()), 20 * limit);
        ours.mutable_grad().zero_();
        torchs.mutable_grad().zero_();
      }
      EXPECT_LE(largest(layer->running_mean - whole->running_mean), 10 * limit);
      EXPECT_LE(largest(layer->running_var - whole->running_var), 10 * limit);
      EXPECT_EQ(layer->num_batches_tracked.item<std::int64_t>(),
                whole->num_batches_tracked.item<std::int64_t>());
    }
    layer->eval();
    whole->eval();
    const auto x = made_up(50, {2, channels, 3, 4}, 20, 23).to(type);
    EXPECT_LE(largest(layer(x) - whole(x)), 20 * limit);
  }
}

TEST_F(GlobalBatchNormTest, LayerTakesHalfPrecisionPictures) {
  const auto global = batch_over(comm::make_process_group(ranks_, comm::DeviceKind::cpu));
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    torch::nn::BatchNorm2d whole(3);
    models::BatchNorm2d layer(3);
    layer->use_global_batch(global);
    const auto rounded = made_up(60, {8, 3, 4, 4}).to(type);
    auto x = rounded.to(at::kFloat).requires_grad_(true);
    auto own = share_of_batch(rounded, ranks_).clone().requires_grad_(true);
    global->takes_part = true;
    const auto expected = whole(x);
    const auto found = layer(own);
    EXPECT_EQ(found.scalar_type(), type);
    const auto gradient = made_up(61, {8, 3, 4, 4}).to(type);
    expected.backward(gradient.to(at::kFloat));
    found.backward(share_of_batch(gradient, ranks_));
    const double limit = type == at::kHalf ? 2e-3 : 2e-2;
    EXPECT_LE(largest(found.detach().to(at::kFloat) - share_of_batch(expected.detach(), ranks_)), limit);
    EXPECT_EQ(own.grad().scalar_type(), type);
    EXPECT_LE(largest(own.grad().to(at::kFloat) - share_of_batch(x.grad(), ranks_)), limit);
    EXPECT_LE(largest(layer->running_mean - whole->running_mean), 1e-6);
  }
}

TEST_F(GlobalBatchNormTest, NamesLayersThatItDoesNotKnow) {
  struct Plain : torch::nn::Module {
    Plain() { register_module("norm7", torch::nn::BatchNorm2d(2)); }
  } network;
  try {
    models::use_global_batch_norm(network, c10::make_intrusive<models::GlobalBatch>());
    ADD_FAILURE() << "a layer of torch's own was passed over";
  } catch (const ModelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("norm7"));
  }
}

// The global batches of five epochs: six steps each, the last one of two pictures, which is fewer than ranks.
struct Cut {
  std::vector<std::uint32_t> order;  // of the epoch
  std::int64_t first = 0, last = 0;
};

std::vector<Cut> all_cuts() {
  constexpr std::int64_t pictures = 42, batch_size = 8, epochs = 5;
  std::vector<Cut> cuts;
  for (std::uint32_t epoch = 1; epoch <= epochs; ++epoch) {
    const auto order = permutation(pictures, RandomStream(1, Purpose::shuffle, epoch, 0));
    for (std::int64_t first = 0; first < pictures; first += batch_size)
      cuts.push_back({order, first, std::min(pictures, first + batch_size)});
  }
  return cuts;
}

struct Course {
  std::vector<double> losses;
  models::NamedTensors state;
};

// Data parallelism in float64. A fresh network multiplies rounding in every step (ReLUs that switch), so that
// in float32 two memory orders of one process are some per cent apart after ten steps: over thirty steps only
// float64 tells a wrong rule from rounding.
Course train_in_float64(const Communicator& ranks, const std::string& name) {
  constexpr double rate = 0.002;
  const auto network =
      models::make_classifier(name, models::ClassifierOptions{.classes = test::made_up_classes,
                                                              .side = test::made_up_side,
                                                              .recompute_concatenations = true});
  models::initialise(*network, 1);
  network->to(at::kDouble);
  network->train();
  const auto group = comm::make_process_group(ranks, comm::DeviceKind::cpu);
  const auto global = batch_over(group);
  if (ranks.size() > 1) models::use_global_batch_norm(*network, global);
  Sgd optimizer(network->parameters(), {});
  const Normaliser normalise(at::kCPU, false);
  Course course;
  for (const auto& cut : all_cuts()) {
    const auto share = test::share_of(cut.order, cut.first, cut.last, ranks.rank(), ranks.size());
    const auto batch = as_tensors(share);
    network->zero_grad();
    global->takes_part = share.size > 0;
    // Both networks end as 2 x 2 pixels: two pictures of one pixel each would be all but undefined.
    const std::int64_t side = name == "densenet121" ? 64 : test::made_up_side;
    const auto input = share.size > 0
                           ? at::upsample_nearest2d(normalise(batch.pixels).to(at::kDouble), {side, side})
                           : at::zeros({1, 3, network->small_side(), network->small_side()}, at::kDouble);
    const auto output = network->forward(input);
    const auto loss = share.size > 0
                          ? at::cross_entropy_loss(output, batch.labels.to(at::kDouble)) *
                                (static_cast<double>(share.size) / static_cast<double>(cut.last - cut.first))
                          : output.sum() * 0.0;
    loss.backward();
    for (const auto& parameter : network->parameters()) {
      std::vector<at::Tensor> one{parameter.grad()};
      group->allreduce(one)->wait();
    }
    optimizer.step(rate);
    course.losses.push_back(over_ranks(ranks, loss.item<double>(), comm::Reduction::sum));
  }
  for (const auto& [name, tensor] : models::state_of(*network)) course.state[name] = tensor.detach();
  return course;
}

// The largest relative difference of running statistics.
double difference_of_statistics(const models::NamedTensors& a, const models::NamedTensors& b) {
  double worst = 0;
  for (const auto& [name, tensor] : a) {
    if (name.find("running") != std::string::npos)
      worst = std::max(worst, (b.at(name) - tensor).norm().item<double>() / tensor.norm().item<double>());
  }
  return worst;
}

TEST_F(GlobalBatchNormTest, ThirtyStepsOfAnyNumberOfRanksAreThoseOfOne) {
  for (const std::string network : {"densenet121", "resnet18"}) {
    const auto all = train_in_float64(ranks_, network);
    for (const auto& [name, tensor] : all.state) {
      // Alike on all ranks, without being sent around.
      const double sum = tensor.to(at::kDouble).sum().item<double>();
      EXPECT_EQ(over_ranks(ranks_, sum, comm::Reduction::maximum), sum) << name;
    }
    if (!ranks_.is_root()) continue;
    const auto one = train_in_float64(Communicator::self(), network);
    ASSERT_EQ(one.losses.size(), 30u);
    double worst = 0;
    for (std::size_t step = 0; step < one.losses.size(); ++step)
      worst = std::max(worst, std::abs(all.losses[step] - one.losses[step]) / one.losses[step]);
    const double statistics = difference_of_statistics(one.state, all.state);
    std::printf("%s over 30 steps in float64: losses %.1e apart, running statistics %.1e\n", network.c_str(),
                worst, statistics);
    EXPECT_LE(worst, 1e-5);
    EXPECT_LE(statistics, 1e-5);
    EXPECT_GT(std::abs(one.losses[24] - one.losses[0]), 0.02) << "nothing was learnt";
  }
}

TEST_F(GlobalBatchNormTest, EachStepOfTheLearnerIsThatOfOneRankInFloat32) {
  auto settings = config(1);
  settings.batch_norm = BatchNorm::global;
  Learner learner(ranks_, settings, test::made_up_classes, 1, {});
  const auto alone = Communicator::self();  // learners keep a reference
  std::unique_ptr<Learner> one;
  if (ranks_.is_root())
    one = std::make_unique<Learner>(alone, settings, test::made_up_classes, 1, device::Place{});
  double worst_loss = 0, worst_statistics = 0;
  const auto cuts = all_cuts();
  for (std::size_t step = 0; step < 12; ++step) {
    const auto& cut = cuts[step];
    // Each step from where one rank stands.
    learner.restore(one ? one->tensors() : models::NamedTensors{});
    const auto global_size = cut.last - cut.first;
    const auto share = test::share_of(cut.order, cut.first, cut.last, ranks_.rank(), ranks_.size());
    const double own =
        learner.step(as_tensors(share), global_size, settings.learning_rate, nullptr).item<double>();
    const double loss = over_ranks(ranks_, own, comm::Reduction::sum);
    if (!one) continue;
    const auto whole = test::share_of(cut.order, cut.first, cut.last, 0, 1);
    const double expected =
        one->step(as_tensors(whole), global_size, settings.learning_rate, nullptr).item<double>();
    worst_loss = std::max(worst_loss, std::abs(loss - expected) / expected);
    worst_statistics =
        std::max(worst_statistics, difference_of_statistics(one->tensors(), learner.tensors()));
  }
  if (!one) return;
  std::printf("12 single steps in float32: losses %.1e apart, running statistics %.1e\n", worst_loss,
              worst_statistics);
  EXPECT_LE(worst_loss, 1e-5);
  EXPECT_LE(worst_statistics, 1e-5);
}

TEST_F(GlobalBatchNormTest, ARunOfTheTrainerHasTheResultsOfOneRank) {
  auto alone = request("alone", 2), together = request("together", 2);
  for (auto* order : {&alone, &together}) {
    order->config.batch_norm = BatchNorm::global;
    order->config.learning_rate = 1e-4;  // at which rounding has not grown after six steps
  }
  TrainingState expected;
  if (ranks_.is_root()) expected = run(Communicator::self(), alone);
  const auto found = run(ranks_, together);
  if (!ranks_.is_root()) return;
  for (std::size_t epoch = 0; epoch < expected.history.size(); ++epoch) {
    EXPECT_NEAR(found.history[epoch].loss, expected.history[epoch].loss, 1e-5 * expected.history[epoch].loss);
    EXPECT_EQ(found.history[epoch].scores.front().correct, expected.history[epoch].scores.front().correct);
  }
}

}  // namespace
}  // namespace deda::training
