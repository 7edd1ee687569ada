// Recorded work, replayed, is the same work; what a CUDA graph cannot hold is refused.
#include <c10/core/Event.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

using testing::HasSubstr;

at::Tensor numbers(at::IntArrayRef sizes, double start) {
  return at::sin(at::arange(c10::multiply_integers(sizes), at::kFloat) * 0.7 + start).reshape(sizes);
}

TEST(Recording, ReplaysReadInputsAnew) {
  auto input = at::ones({2, 3}, device);
  at::Tensor result, parts, largest, normed;
  int runs = 0;
  const auto recorded = plugin().capture(
      [&] {
        ++runs;
        auto y = (input * 2 + 1).t().contiguous();
        y.add_(input.t());
        result = y.view({6});
        parts = at::cat({input, input.slice(1, 0, 1)}, 1);
        largest = std::get<1>(input.sort(1));
        normed = at::conv2d(input.view({1, 1, 2, 3}), at::ones({1, 1, 2, 2}, device));
      },
      2);
  EXPECT_EQ(runs, 3);
  for (int round = 0; round < 3; ++round) {
    const auto fresh = numbers({2, 3}, round);
    input.copy_(fresh);
    recorded->replay();
    EXPECT_EQ(runs, 3);
    EXPECT_TRUE(at::equal(result.cpu(), (fresh * 2 + 1 + fresh).t().reshape({6})));
    EXPECT_TRUE(at::equal(parts.cpu(), at::cat({fresh, fresh.slice(1, 0, 1)}, 1)));
    EXPECT_TRUE(at::equal(largest.cpu(), std::get<1>(fresh.sort(1))));
    EXPECT_TRUE(at::equal(normed.cpu(), at::conv2d(fresh.view({1, 1, 2, 3}), at::ones({1, 1, 2, 2}))));
  }
}

TEST(Recording, PinnedMemoryIsReadAnewAndNumbersOfTheHostAreNot) {
  const auto pinned = at::empty({3}, at::TensorOptions().pinned_memory(true));
  const auto back = at::empty({3}, at::TensorOptions().pinned_memory(true));
  pinned.fill_(1.0);
  auto number = at::scalar_tensor(10.0);
  auto input = at::zeros({3}, device);
  at::Tensor result;
  const auto recorded = plugin().capture(
      [&] {
        input.copy_(pinned, /*non_blocking=*/true);
        result = input * number;
        back.copy_(result, /*non_blocking=*/true);
      },
      1);
  pinned.fill_(2.0);
  number.fill_(1000.0);
  recorded->replay();
  EXPECT_TRUE(at::equal(result.cpu(), at::full({3}, 20.0)));
  EXPECT_TRUE(at::equal(back, at::full({3}, 20.0)));
}

TEST(Recording, MemoryOfFreedTensorsStays) {
  const auto free = plugin().free_bytes(0);
  {
    auto input = at::ones({1000}, device);
    at::Tensor result;
    const auto recorded = plugin().capture([&] { result = ((input + 1) * 2).sqrt(); }, 0);
    std::vector<at::Tensor> others;
    for (int i = 0; i < 20; ++i) others.push_back(at::full({1000}, -1.0, device));
    input.fill_(7.0);
    recorded->replay();
    EXPECT_TRUE(at::equal(result.cpu(), at::full({1000}, 4.0)));
    for (const auto& other : others) EXPECT_TRUE(at::equal(other.cpu(), at::full({1000}, -1.0)));
  }
  EXPECT_EQ(plugin().free_bytes(0), free);
}

void expect_refused(const std::string& reason, const std::function<void()>& work) {
  try {
    plugin().capture(work, 0);
    ADD_FAILURE() << "not refused: " << reason;
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(reason));
  }
  // The device is usable after that.
  EXPECT_EQ((at::ones({2}, device) + 1).sum().item<float>(), 4.0f);
}

TEST(Recording, WhatCannotBeRecordedIsRefused) {
  const auto x = at::ones({2}, device);
  const auto a = at::ones({2});
  expect_refused("_local_scalar_dense", [&] { x.sum().item<float>(); });
  expect_refused("a blocking copy to the device", [&] { a.to(device); });
  expect_refused("memory that is not pinned", [&] { x.clone().copy_(a, true); });
  expect_refused("a blocking copy to the host", [&] { x.cpu(); });
  expect_refused("synchronising the device", [] { plugin().synchronize(); });
  expect_refused("at a time", [] { plugin().capture([] {}, 0); });
  expect_refused("the default stream", [] {
    const c10::impl::VirtualGuardImpl guard(device.type());
    c10::Event event(device.type());
    event.record(guard.getStream(device));
    event.block(guard.getDefaultStream(device));
  });
}

TEST(Recording, OtherStreamsAreNotRecorded) {
  auto x = at::zeros({2}, device);
  auto elsewhere = at::zeros({2}, device);
  const auto recorded = plugin().capture(
      [&] {
        x.add_(1);
        std::thread([&] { elsewhere.add_(elsewhere.sum().item<float>() + 1); }).join();
      },
      0);
  recorded->replay();
  recorded->replay();
  EXPECT_EQ(x[0].item<float>(), 2.0f);
  EXPECT_EQ(elsewhere[0].item<float>(), 1.0f);
}

// A training step as the program makes one.
class Training {
 public:
  explicit Training(at::Device where) : where_{where} {
    for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{4, 3, 3, 3}, {4}, {4}, {5, 4}, {5}})
      parameters_.push_back(numbers(sizes, 0.1).to(where).requires_grad_());
    for (const auto& parameter : parameters_) momentum_.push_back(at::zeros_like(parameter.detach()));
    mean_ = at::zeros({4}, where);
    variance_ = at::ones({4}, where);
    pictures = at::zeros({2, 3, 8, 8}, where);
    labels = at::zeros({2, 5}, where);
    rate = at::scalar_tensor(0.0, at::TensorOptions(at::kFloat).device(where));
  }
  void step() {
    for (auto& parameter : parameters_) parameter.mutable_grad().reset();
    auto y = at::conv2d(pictures, parameters_[0], {}, 1, 1);
    y = at::batch_norm(y, parameters_[1], parameters_[2], mean_, variance_, true, 0.1, 1e-5, true);
    y = at::linear(at::relu_(y).mean({2, 3}), parameters_[3], parameters_[4]);
    const auto mean_loss = -(at::log_softmax(y, 1) * labels).sum(1).mean();
    mean_loss.backward();
    loss = mean_loss.detach();
    const at::NoGradGuard no_gradients;
    std::vector<at::Tensor> gradients;
    for (const auto& parameter : parameters_) gradients.push_back(parameter.grad());
    at::_fused_sgd_(parameters_, gradients, momentum_, 1e-3, 0.9, rate, 0.0, true, false, false);
  }
  std::vector<at::Tensor> state() const {
    std::vector<at::Tensor> all;
    for (const auto* list : {&parameters_, &momentum_})
      for (const auto& tensor : *list)
        all.push_back(tensor.detach().to(at::kCPU, tensor.scalar_type(), false, true));
    all.push_back(mean_.to(at::kCPU, at::kFloat, false, true));
    all.push_back(variance_.to(at::kCPU, at::kFloat, false, true));
    all.push_back(loss.to(at::kCPU, at::kFloat, false, true));
    return all;
  }
  at::Tensor pictures, labels, rate, loss;

 private:
  at::Device where_;
  std::vector<at::Tensor> parameters_, momentum_;
  at::Tensor mean_, variance_;
};

TEST(Recording, ATrainingStepIsTheEagerOne) {
  Training eager(at::kCPU), replayed(device);
  // A learning rate of zero would still move the running statistics and the momentum: warm up on both sides.
  constexpr int warm_ups = 2;
  for (int i = 0; i < warm_ups; ++i) eager.step();  // recording itself leaves everything as it was
  const auto recorded = plugin().capture([&] { replayed.step(); }, warm_ups);
  reset_counters();
  for (int step = 0; step < 5; ++step) {
    for (auto* training : {&eager, &replayed}) {
      training->pictures.copy_(numbers({2, 3, 8, 8}, step));
      training->labels.copy_(at::softmax(numbers({2, 5}, -step), 1));
      training->rate.fill_(0.1 / (step + 1));
    }
    eager.step();
    recorded->replay();
    const auto expected = eager.state(), state = replayed.state();
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(at::equal(state[i], expected[i])) << "tensor " << i << " after step " << step;
  }
  EXPECT_EQ(counters().replays, 5);
}

}  // namespace
}  // namespace deda::pretended
