// Tensors over our MPI back end at 1 to 4 ranks: sums, means, broadcasts and gathers equal what they should;
// a Reducer's gradients equal those of the whole batch.
#include "comm/c10d/process_group.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "comm/c10d/reducer.h"
#include "core/error.h"

namespace deda::comm {
namespace {

struct Group {
  Communicator world = Communicator::world();
  c10::intrusive_ptr<c10d::ProcessGroup> group = make_process_group(world, DeviceKind::cpu);
  int rank = world.rank(), size = world.size();
};

TEST(ProcessGroup, AddsAndAveragesOverRanksForEveryTypeItTakes) {
  Group g;
  for (const auto type : {at::kFloat, at::kDouble, at::kInt, at::kLong, at::kBFloat16}) {
    std::vector<at::Tensor> tensors = {at::full({3, 5}, g.rank + 1, type)};
    g.group->allreduce(tensors)->wait();
    EXPECT_EQ(tensors[0].sum().item<double>(), 15.0 * g.size * (g.size + 1) / 2) << type;
  }
  c10d::AllreduceOptions mean;
  mean.reduceOp = c10d::ReduceOp::AVG;
  std::vector<at::Tensor> tensors = {at::full({1000}, static_cast<float>(g.rank))};
  g.group->allreduce(tensors, mean)->wait();
  EXPECT_FLOAT_EQ(tensors[0][999].item<float>(), static_cast<float>(g.size - 1) / 2);
}

TEST(ProcessGroup, HandlesTensorsThatAreNotContiguous) {
  Group g;
  std::vector<at::Tensor> tensors = {at::arange(12, at::kFloat).view({3, 4}).t()};
  const at::Tensor expected = tensors[0].clone() * g.size;
  g.group->allreduce(tensors)->wait();
  EXPECT_TRUE(at::equal(tensors[0], expected));
}

TEST(ProcessGroup, BroadcastsTheRootsTensors) {
  Group g;
  const at::Tensor numbers = at::full({7}, g.rank, at::kLong), weights = at::full({2, 2}, g.rank + 0.5f);
  broadcast_tensors(*g.group, {numbers, weights}, g.size - 1);
  EXPECT_EQ(numbers[6].item<std::int64_t>(), g.size - 1);
  EXPECT_FLOAT_EQ(weights[1][1].item<float>(), static_cast<float>(g.size) - 0.5f);
}

TEST(ProcessGroup, KeepsTheOrderOfManyOperationsInFlight) {
  Group g;
  std::vector<std::vector<at::Tensor>> tensors;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
  for (int i = 0; i < 50; ++i) {
    tensors.push_back({at::full({100 + i}, static_cast<float>(i + g.rank))});
    works.push_back(g.group->allreduce(tensors.back()));
  }
  for (int i = 0; i < 50; ++i) {
    works[static_cast<std::size_t>(i)]->wait();
    EXPECT_FLOAT_EQ(tensors[static_cast<std::size_t>(i)][0][0].item<float>(),
                    static_cast<float>(i * g.size + g.size * (g.size - 1) / 2));
  }
}

// A small network and its gradients on part of a batch.
torch::nn::Sequential network() {
  torch::manual_seed(1);
  return torch::nn::Sequential(torch::nn::Linear(6, 32), torch::nn::ReLU(), torch::nn::Linear(32, 32),
                               torch::nn::ReLU(), torch::nn::Linear(32, 3));
}

TEST(GradientReducer, GivesTheGradientsOfTheWholeBatch) {
  Group g;
  torch::manual_seed(2);
  const at::Tensor inputs = at::randn({12, 6}), targets = at::randn({12, 3});
  auto whole = network(), mine = network();
  torch::mse_loss(whole->forward(inputs), targets).backward();
  const auto parameters = mine->parameters();
  GradientReducer reducer(parameters, g.group, 0.001);     // buckets of a kilobyte: several of them
  const at::Tensor rows = at::arange(g.rank, 12, g.size);  // 12 divides by 1, 2, 3 and 4
  for (int step = 0; step < 3; ++step) {
    for (const auto& parameter : parameters) {
      if (parameter.grad().defined()) parameter.mutable_grad().zero_();
    }
    reducer.prepare_for_forward();
    const at::Tensor loss =
        torch::mse_loss(mine->forward(inputs.index_select(0, rows)), targets.index_select(0, rows));
    reducer.prepare_for_backward(loss);
    loss.backward();
    reducer.require_reduced();
    const auto expected = whole->parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      // fp32: the sum over 12 rows is taken in another order; 1e-6 of the gradients' scale is a few
      // roundings.
      EXPECT_TRUE(at::allclose(parameters[i].grad(), expected[i].grad(), 1e-5, 1e-6))
          << "step " << step << ", parameter " << i;
    }
  }
}

TEST(GradientReducer, NamesParametersThatCannotBeReduced) {
  Group g;
  auto net = network();
  auto parameters = net->parameters();
  parameters[1].set_requires_grad(false);
  EXPECT_THROW(GradientReducer(parameters, g.group, 25, {"a", "b", "c", "d", "e", "f"}), ModelError);
}

}  // namespace
}  // namespace deda::comm
