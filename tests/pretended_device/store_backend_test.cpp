// Collectives of the pretended device, through the process group that the program makes.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include "comm/c10d/process_group.h"
#include "comm/communicator.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

class Collectives : public testing::Test {
 protected:
  const comm::Communicator world = comm::Communicator::world();
  const c10::intrusive_ptr<c10d::Backend> backend = plugin().make_nccl_backend(
      comm::make_shared_store(world), world.rank(), world.size(), std::chrono::seconds(30));
  at::Tensor of_rank(int rank) const { return at::arange(6, at::kFloat).add_(10.0 * rank).to(device); }
};

TEST_F(Collectives, ReduceBroadcastAndGather) {
  std::vector<at::Tensor> one{of_rank(world.rank())};
  c10d::AllreduceOptions average;
  average.reduceOp = c10d::ReduceOp::AVG;
  backend->allreduce(one, average)->wait();
  EXPECT_TRUE(at::equal(one[0].cpu(), at::arange(6, at::kFloat).add_(5.0 * (world.size() - 1))));

  std::vector<at::Tensor> from_last{of_rank(world.rank())};
  c10d::BroadcastOptions last;
  last.rootRank = world.size() - 1;
  backend->broadcast(from_last, last)->wait();
  EXPECT_TRUE(at::equal(from_last[0].cpu(), of_rank(world.size() - 1).cpu()));

  std::vector<at::Tensor> own{of_rank(world.rank())};
  std::vector<std::vector<at::Tensor>> gathered(1);
  for (int rank = 0; rank < world.size(); ++rank) gathered[0].push_back(at::zeros({6}, device));
  backend->allgather(gathered, own, {})->wait();
  for (int rank = 0; rank < world.size(); ++rank)
    EXPECT_TRUE(at::equal(gathered[0][static_cast<std::size_t>(rank)].cpu(), of_rank(rank).cpu()));
  backend->barrier({})->wait();
  std::vector<at::Tensor> of_host{at::ones({2})};
  EXPECT_THROW(backend->allreduce(of_host, {}), c10::Error);
}

TEST_F(Collectives, CanBeRecorded) {
  auto tensor = at::zeros({2}, device);
  const auto recorded = plugin().capture(
      [&] {
        std::vector<at::Tensor> one{tensor};
        backend->allreduce(one, {})->wait();
      },
      0);
  for (int round = 1; round <= 2; ++round) {
    tensor.fill_(round);
    recorded->replay();
    EXPECT_EQ(tensor[1].item<float>(), static_cast<float>(round * world.size()));
  }
}

}  // namespace
}  // namespace deda::pretended
