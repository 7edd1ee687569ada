// Everything that lets the host wait for the device is counted, and refused where that was asked for.
#include <c10/core/Event.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

using testing::HasSubstr;

class Waiting : public testing::Test {
 protected:
  void TearDown() override { plugin().forbid_waiting(false); }

  // Throws with a message that names `name` while forbidden, counts one or more waits while not.
  static void expect_wait(const std::string& name, const std::function<void()>& work) {
    plugin().forbid_waiting(true);
    try {
      work();
      ADD_FAILURE() << name << " was not noticed";
    } catch (const c10::Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(name));
      EXPECT_THAT(error.what(), HasSubstr("wait"));
    }
    plugin().forbid_waiting(false);
    reset_counters();
    work();
    EXPECT_GE(counters().waits, 1) << name;
    EXPECT_THAT(counters().last_waits, testing::Contains(HasSubstr(name)));
  }
  static void expect_no_wait(const std::function<void()>& work) {
    plugin().forbid_waiting(true);
    reset_counters();
    EXPECT_NO_THROW(work());
    EXPECT_EQ(counters().waits, 0);
    plugin().forbid_waiting(false);
  }
  static at::Tensor pinned(const at::Tensor& tensor) {
    auto copy = at::empty(tensor.sizes(), tensor.options().pinned_memory(true));
    copy.copy_(tensor);
    return copy;
  }
  const at::Tensor x = at::arange(12, at::kFloat).reshape({3, 4}).to(device);
  const at::Tensor mask = x > 3;
};

TEST_F(Waiting, ResultsThatTheHostNeeds) {
  expect_wait("_local_scalar_dense", [&] { x.sum().item<float>(); });
  expect_wait("_local_scalar_dense", [&] { at::isfinite(x).all().item<bool>(); });
  expect_wait("nonzero", [&] { at::nonzero(x); });
  expect_wait("masked_select", [&] { at::masked_select(x, mask); });
  expect_wait("_local_scalar_dense", [&] { static_cast<void>(x.sum().is_nonzero()); });
  expect_wait("equal", [&] { static_cast<void>(at::equal(x, x)); });
  expect_wait("_unique2", [&] { at::_unique2(x); });
  expect_wait("unique_consecutive", [&] { at::unique_consecutive(x); });
  expect_wait("unique_dim", [&] { at::unique_dim(x, 0); });
  expect_wait("nonzero", [&] { at::index(x, {mask}); });
  expect_wait("_index_put_impl_", [&] { x.clone().index_put_({mask}, at::zeros({8}, device)); });
  expect_wait("bincount", [&] { at::bincount(x.flatten().to(at::kLong)); });
  expect_wait("repeat_interleave", [&] { at::repeat_interleave(x.flatten().to(at::kLong)); });
}

TEST_F(Waiting, BlockingCopies) {
  const auto a = at::ones({3, 4});
  const auto pinned_a = pinned(a);
  expect_wait("a blocking copy to the host", [&] { x.cpu(); });
  expect_wait("a blocking copy to the host", [&] { pinned_a.clone().copy_(x); });
  expect_wait("a copy to memory of the host that is not pinned", [&] { a.clone().copy_(x, true); });
  expect_wait("a blocking copy to the device", [&] { a.to(device); });
  expect_wait("a blocking copy to the device", [&] { pinned_a.to(device); });
  expect_wait("memory that is not pinned", [&] { a.to(device, a.scalar_type(), /*non_blocking=*/true); });
  expect_wait("memory that is not pinned", [&] { x.clone().copy_(a, true); });
  expect_wait("memory that is not pinned", [&] { at::zeros({4, 3}, device).copy_(pinned_a.t(), true); });
  expect_wait("a blocking copy to the device", [&] { at::scalar_tensor(1.0).to(device); });
}

TEST_F(Waiting, WhatDoesNotWait) {
  const auto a = pinned(at::ones({3, 4}));
  EXPECT_TRUE(a.is_pinned());
  EXPECT_TRUE(a.slice(0, 1).is_pinned());
  EXPECT_FALSE(at::ones({3, 4}).is_pinned());
  EXPECT_TRUE(at::ones({2}).pin_memory().is_pinned());
  expect_no_wait([&] {
    const auto y = a.to(device, a.scalar_type(), /*non_blocking=*/true);
    (y + x).matmul(x.t()).softmax(1).masked_fill_(at::eye(3, device) > 0, 0.0);
    x.clone().copy_(a, true);
    at::empty({3, 4}, a.options().pinned_memory(true)).copy_(x, true);
    x.to(at::kDouble).to(at::kFloat);
    x* at::scalar_tensor(2.0);
  });
  plugin().forbid_waiting(true);
  const auto back = x.to(at::TensorOptions(at::kCPU), /*non_blocking=*/true);
  plugin().forbid_waiting(false);
  EXPECT_TRUE(back.is_pinned());
  EXPECT_EQ(back[2][3].item<float>(), 11.0f);
}

TEST_F(Waiting, APlantedItemInABackwardPassIsCaught) {
  struct Planted : torch::autograd::Function<Planted> {
    static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& in) { return in.clone(); }
    static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::tensor_list gradients) {
      return {gradients[0] * gradients[0].sum().item<float>()};
    }
  };
  auto weight = at::ones({2}, device).requires_grad_();
  expect_wait("_local_scalar_dense", [&] { Planted::apply(weight * 2).sum().backward(); });
}

TEST_F(Waiting, CopiesAndOperationsAreCounted) {
  const auto a = pinned(at::ones({3, 4}));
  reset_counters();
  const auto y = a.to(device);
  const auto z = (y + 1).view({12}).t();
  z.cpu();
  const auto seen = counters();
  EXPECT_EQ(seen.copies_to_device, 1);
  EXPECT_EQ(seen.copies_to_host, 1);
  EXPECT_EQ(seen.bytes_to_device, 48);
  EXPECT_EQ(seen.bytes_to_host, 48);
  EXPECT_EQ(seen.waits, 2);
  EXPECT_THAT(seen.last_operations, testing::ElementsAre("aten::add"));
}

TEST_F(Waiting, StreamsAndEvents) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  c10::Event event(device.type());
  event.record(guard.getStream(device));
  event.block(guard.getStreamFromGlobalPool(device));
  EXPECT_TRUE(event.query());
  expect_wait("stream", [&] { guard.synchronizeStream(guard.getStream(device)); });
  plugin().forbid_waiting(true);
  EXPECT_NO_THROW(plugin().synchronize());
}

}  // namespace
}  // namespace deda::pretended
