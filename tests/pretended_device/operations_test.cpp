// The pretended device computes what the CPU computes, and refuses what CUDA refuses.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <vector>

#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

at::Tensor numbers(at::IntArrayRef sizes, double scale = 1.0) {
  const auto count = c10::multiply_integers(sizes);
  return at::sin(at::arange(count, at::kFloat) * 0.7).reshape(sizes) * scale;
}

void expect_same(const at::Tensor& on_device, const at::Tensor& on_host) {
  ASSERT_EQ(on_device.device(), device);
  EXPECT_EQ(on_device.scalar_type(), on_host.scalar_type());
  EXPECT_EQ(on_device.sizes(), on_host.sizes());
  EXPECT_TRUE(at::equal(on_device.cpu(), on_host));
}

TEST(Operations, TensorsTravelThereAndBack) {
  const auto a = numbers({2, 3, 4});
  expect_same(a.to(device), a);
  expect_same(a.transpose(0, 2).to(device), a.transpose(0, 2));
  expect_same(a.to(device).to(at::kDouble), a.to(at::kDouble));
  expect_same(at::zeros({3}, device), at::zeros({3}));
  expect_same(at::full({2, 2}, 7, at::TensorOptions(at::kLong).device(device)),
              at::full({2, 2}, 7, at::kLong));
  expect_same(at::arange(5, device), at::arange(5));
  expect_same(at::zeros({2, 3, 4}, device).copy_(numbers({4})), at::zeros({2, 3, 4}).copy_(numbers({4})));
}

TEST(Operations, ElementWiseAndReductions) {
  const auto a = numbers({3, 4}), b = numbers({4}, 0.5);
  const auto x = a.to(device), y = b.to(device);
  expect_same(x + y, a + b);
  expect_same(x * 2.5 - 1, a * 2.5 - 1);
  expect_same(at::gelu(x) / (y.abs() + 1), at::gelu(a) / (b.abs() + 1));
  expect_same(x.sum(), a.sum());
  expect_same(x.mean({1}, true), a.mean({1}, true));
  expect_same(std::get<0>(x.max(1)), std::get<0>(a.max(1)));
  expect_same(at::softmax(x, 1), at::softmax(a, 1));
  expect_same(at::where(x > 0, x, y), at::where(a > 0, a, b));
  expect_same(at::cat({x, x * 2}, 1), at::cat({a, a * 2}, 1));
  expect_same(at::stack({x, x}), at::stack({a, a}));
  expect_same(x.argmax(1), a.argmax(1));
  expect_same(x + at::scalar_tensor(2.0, at::kDouble), a + at::scalar_tensor(2.0, at::kDouble));
  expect_same(x.to(at::kInt) + 1, a.to(at::kInt) + 1);
  expect_same(at::group_norm(numbers({2, 4, 3, 3}).to(device), 2), at::group_norm(numbers({2, 4, 3, 3}), 2));
  expect_same(at::layer_norm(x, {4}), at::layer_norm(a, {4}));
  expect_same(at::upsample_nearest2d(numbers({1, 2, 3, 3}).to(device), {6, 6}),
              at::upsample_nearest2d(numbers({1, 2, 3, 3}), {6, 6}));
}

TEST(Operations, Matrices) {
  const auto a = numbers({3, 4}), b = numbers({4, 5}), c = numbers({2, 3, 4});
  expect_same(a.to(device).matmul(b.to(device)), a.matmul(b));
  expect_same(at::bmm(c.to(device), c.transpose(1, 2).to(device)), at::bmm(c, c.transpose(1, 2)));
  expect_same(at::linear(a.to(device), a.to(device), numbers({3}).to(device)),
              at::linear(a, a, numbers({3})));
  expect_same(at::einsum("ij,jk->ki", {a.to(device), b.to(device)}), at::einsum("ij,jk->ki", {a, b}));
}

TEST(Operations, ViewsShareMemory) {
  auto x = at::zeros({4, 6}, device);
  x.view({2, 12}).select(0, 1).fill_(1.0);
  x.transpose(0, 1).slice(0, 2, 4).add_(2.0);
  x.as_strided({2}, {7}, 0).mul_(10.0);
  auto a = at::zeros({4, 6});
  a.view({2, 12}).select(0, 1).fill_(1.0);
  a.transpose(0, 1).slice(0, 2, 4).add_(2.0);
  a.as_strided({2}, {7}, 0).mul_(10.0);
  expect_same(x, a);
  EXPECT_TRUE(x.view({24}).storage().is_alias_of(x.storage()));
  EXPECT_TRUE(x.contiguous().is_same(x));
  const auto parts = x.split(2);
  EXPECT_TRUE(parts[1].storage().is_alias_of(x.storage()));
  expect_same(parts[1], a.split(2)[1]);
  expect_same(x.unsqueeze(0).expand({3, 4, 6}).permute({2, 0, 1}).reshape({18, 4}),
              a.unsqueeze(0).expand({3, 4, 6}).permute({2, 0, 1}).reshape({18, 4}));
}

TEST(Operations, InPlaceAndGivenOutputs) {
  auto x = numbers({3, 4}).to(device);
  EXPECT_TRUE(x.add_(1).is_same(x));
  EXPECT_TRUE(x.clamp_min_(0.5).is_same(x));
  expect_same(x, numbers({3, 4}).add_(1).clamp_min_(0.5));
  auto out = at::empty({0}, device);
  EXPECT_TRUE(at::mul_out(out, x, x).is_same(out));
  expect_same(out, x.cpu() * x.cpu());
  auto values = at::empty({0}, device), places = at::empty({0}, at::TensorOptions(at::kLong).device(device));
  at::topk_out(values, places, x, 2);
  expect_same(values, std::get<0>(at::topk(x.cpu(), 2)));
  x.resize_({6, 4});
  EXPECT_EQ(x.numel(), 24);
  expect_same(x.slice(0, 0, 3), numbers({3, 4}).add_(1).clamp_min_(0.5));
  x.t_();
  EXPECT_EQ(x.sizes(), (std::vector<std::int64_t>{4, 6}));
  at::Tensor moved = numbers({4});
  moved.set_data(moved.to(device));
  expect_same(moved, numbers({4}));
}

TEST(Operations, Indices) {
  const auto a = numbers({5, 3});
  auto x = a.to(device).clone();
  const auto rows = at::tensor({4, 0, 2}), on_device = rows.to(device);
  expect_same(at::index(x, {on_device}), at::index(a, {rows}));
  expect_same(at::index(x, {rows}), at::index(a, {rows}));
  expect_same(x.index_select(0, on_device), a.index_select(0, rows));
  expect_same(at::embedding(x, on_device), at::embedding(a, rows));
  expect_same(at::masked_select(x, x > 0), at::masked_select(a, a > 0));
  expect_same(at::nonzero(x > 0), at::nonzero(a > 0));
  expect_same(at::index(x, {at::arange(5, device) > 2}), at::index(a, {at::arange(5) > 2}));
  auto b = a.clone();
  expect_same(x.index_put_({on_device}, at::zeros({3, 3}, device)), b.index_put_({rows}, at::zeros({3, 3})));
  expect_same(x.masked_fill_(x > 0.5, 3.0), b.masked_fill_(b > 0.5, 3.0));
}

struct SmallNetwork : torch::nn::Module {
  SmallNetwork() {
    convolution =
        register_module("convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(4));
    linear = register_module("linear", torch::nn::Linear(4, 5));
    for (auto& parameter : parameters()) {
      const at::NoGradGuard no_gradients;
      parameter.copy_(numbers(parameter.sizes(), 0.3));
    }
  }
  at::Tensor forward(const at::Tensor& x) {
    auto y = at::max_pool2d(at::relu(norm(convolution(x))), 2);
    return linear(at::adaptive_avg_pool2d(y, {1, 1}).flatten(1));
  }
  torch::nn::Conv2d convolution{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Linear linear{nullptr};
};

TEST(Operations, GradientsOfANetworkAreTheHosts) {
  SmallNetwork on_host, on_device;
  on_device.to(device);
  const auto pictures = numbers({2, 3, 8, 8});
  const auto labels = at::tensor({1, 3}, at::kLong);
  for (int step = 0; step < 3; ++step) {
    const auto loss = at::cross_entropy_loss(on_host.forward(pictures), labels);
    loss.backward();
    const auto same_loss = at::cross_entropy_loss(on_device.forward(pictures.to(device)), labels.to(device));
    same_loss.backward();
    expect_same(same_loss.detach(), loss.detach());
    std::vector<at::Tensor> parameters = on_host.parameters(), others = on_device.parameters();
    std::vector<at::Tensor> gradients, other_gradients;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      expect_same(others[i].grad(), parameters[i].grad());
      gradients.push_back(parameters[i].grad());
      other_gradients.push_back(others[i].grad());
    }
    const at::NoGradGuard no_gradients;
    at::_fused_sgd_(parameters, gradients, {}, 0.01, 0.0, 0.1, 0.0, false, false, true);
    at::_fused_sgd_(others, other_gradients, {}, 0.01, 0.0, 0.1, 0.0, false, false, true);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      expect_same(others[i].detach(), parameters[i].detach());
  }
  expect_same(on_device.norm->running_mean, on_host.norm->running_mean);
  expect_same(on_device.norm->num_batches_tracked, on_host.norm->num_batches_tracked);
}

TEST(Operations, Attention) {
  const auto a = numbers({2, 2, 5, 8});
  auto q = a.to(device).requires_grad_(), host_q = a.clone().requires_grad_();
  const auto out = at::scaled_dot_product_attention(q, q, q),
             expected = at::scaled_dot_product_attention(host_q, host_q, host_q);
  EXPECT_TRUE(at::allclose(out.cpu(), expected, 1e-5, 1e-6));
  out.sum().backward();
  expected.sum().backward();
  EXPECT_TRUE(at::allclose(q.grad().cpu(), host_q.grad(), 1e-4, 1e-5));
  const auto mask = at::ones({5, 5}, at::kBool).tril();
  EXPECT_TRUE(at::allclose(at::scaled_dot_product_attention(q, q, q, mask.to(device)).cpu(),
                           at::scaled_dot_product_attention(host_q, host_q, host_q, mask), 1e-5, 1e-6));
}

class Autocast {
 public:
  explicit Autocast(at::ScalarType type) {
    at::autocast::set_autocast_dtype(device.type(), type);
    at::autocast::set_autocast_enabled(device.type(), true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device.type(), false);
  }
};

TEST(Operations, AutomaticCasts) {
  SmallNetwork network;
  network.to(device);
  const auto pictures = numbers({2, 3, 8, 8}).to(device);
  const auto precise = network.forward(pictures);
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const Autocast scope(type);
    EXPECT_EQ(network.convolution(pictures).scalar_type(), type);
    EXPECT_EQ(at::matmul(pictures, pictures).scalar_type(), type);
    EXPECT_EQ(at::scaled_dot_product_attention(pictures, pictures, pictures).scalar_type(), type);
    EXPECT_EQ(at::softmax(pictures.to(type), 1).scalar_type(), at::kFloat);
    EXPECT_EQ(at::mse_loss(pictures.to(type), pictures.to(type)).scalar_type(), at::kFloat);
    const auto out = network.forward(pictures);
    EXPECT_EQ(out.scalar_type(), type);
    EXPECT_TRUE(at::allclose(out.to(at::kFloat).cpu(), precise.cpu(), 0.05, 0.05));
    EXPECT_THROW(at::binary_cross_entropy(at::sigmoid(out), at::sigmoid(out)), c10::Error);
    out.sum().backward();
    EXPECT_EQ(network.linear->weight.grad().scalar_type(), at::kFloat);
  }
  EXPECT_EQ(at::matmul(pictures, pictures).scalar_type(), at::kFloat);
}

TEST(Operations, DevicesDoNotMix) {
  const auto x = numbers({3, 3}).to(device), a = numbers({3, 3});
  const auto number = at::scalar_tensor(2.0);
  EXPECT_THROW(x + a, c10::Error);
  EXPECT_THROW(a + x, c10::Error);
  EXPECT_THROW(x.matmul(a), c10::Error);
  EXPECT_THROW(x.clone().add_(a), c10::Error);
  EXPECT_THROW(a.clone().add_(x), c10::Error);
  EXPECT_THROW(number.clone().add_(x.sum()), c10::Error);
  EXPECT_THROW(at::cat({x, a}), c10::Error);
  EXPECT_THROW(at::linear(x, x, numbers({3})), c10::Error);
  EXPECT_THROW(at::batch_norm(numbers({1, 3, 2}).to(device), {}, {}, numbers({3}), numbers({3}), false, 0.1,
                              1e-5, true),
               c10::Error);
  EXPECT_THROW(x.index_select(0, at::tensor({1})), c10::Error);
  EXPECT_THROW(x.clone().uniform_(0, 1, at::detail::createCPUGenerator()), c10::Error);
  EXPECT_THROW(at::dot(x[0], number), c10::Error);
  expect_same(x * number, a * number);
  expect_same(number * x, number * a);
  auto out = at::empty({0}, device);
  expect_same(at::atan2_out(out, x, number), at::atan2(a, number));
}

TEST(Operations, MemoryIsCountedAndLimited) {
  auto& gpu = plugin();
  constexpr std::int64_t megabyte = 1 << 20;
  const auto free = gpu.free_bytes(0);
  gpu.reset_peak(0);
  const auto before = gpu.peak_bytes(0);
  {
    const auto x = at::zeros({4 * megabyte}, at::TensorOptions(at::kByte).device(device));
    EXPECT_EQ(gpu.free_bytes(0), free - 4 * megabyte);
    const auto y = x + 1;
    EXPECT_EQ(gpu.free_bytes(0), free - 8 * megabyte);
    const auto view = y.view({2, -1});
    EXPECT_EQ(gpu.free_bytes(0), free - 8 * megabyte);
  }
  EXPECT_EQ(gpu.free_bytes(0), free);
  EXPECT_GE(gpu.peak_bytes(0), before + 8 * megabyte);
  EXPECT_EQ(gpu.total_bytes(0), 256 * megabyte);  // of the test's environment
  EXPECT_THROW(at::empty({257 * megabyte}, at::TensorOptions(at::kByte).device(device)),
               c10::OutOfMemoryError);
  const auto half = at::empty({200 * megabyte}, at::TensorOptions(at::kByte).device(device));
  EXPECT_THROW(half + 1, c10::OutOfMemoryError);
}

}  // namespace
}  // namespace deda::pretended
