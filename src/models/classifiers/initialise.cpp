#include "models/classifiers/initialise.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <set>
#include <string>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"

namespace deda::models {
namespace {

RandomStream stream_of(std::uint64_t seed, const std::string& name) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(name.data());
  return RandomStream(seed, Purpose::initial_weights, 0, xxhash64({bytes, name.size()}));
}

// Draws into plain order first and copies, so that the memory order of the parameter has no say in the
// values.
template <class Draw>
void fill(torch::Tensor tensor, const Draw& draw) {
  auto values = at::empty(tensor.sizes(), at::kFloat);
  float* data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = static_cast<float>(draw());
  tensor.copy_(values);
}

void fill_normal(torch::Tensor tensor, double deviation, RandomStream stream) {
  fill(std::move(tensor), [&] { return deviation * stream.normal(); });
}

void fill_uniform(torch::Tensor tensor, double bound, RandomStream stream) {
  fill(std::move(tensor), [&] { return stream.uniform(-bound, bound); });
}

}  // namespace

void initialise(torch::nn::Module& network, std::uint64_t seed) {
  torch::NoGradGuard no_gradients;
  std::set<std::string> known;  // parameters that have a rule
  for (const auto& entry : network.named_modules(std::string{}, /*include_self=*/false)) {
    const std::string name = entry.key();
    if (auto* convolution = entry.value()->as<torch::nn::Conv2d>()) {
      const auto& kernel = convolution->weight;
      const auto fan_out = static_cast<double>(kernel.size(0) * kernel.size(2) * kernel.size(3));
      fill_normal(kernel, std::sqrt(2.0 / fan_out), stream_of(seed, name + ".weight"));
      known.insert(name + ".weight");
      if (convolution->bias.defined()) throw ModelError("no rule for the bias of convolution " + name);
    } else if (auto* norm = entry.value()->as<torch::nn::BatchNorm2d>()) {
      norm->reset_running_stats();
      norm->weight.fill_(1.0);
      norm->bias.fill_(0.0);
      known.insert({name + ".weight", name + ".bias"});
    } else if (auto* linear = entry.value()->as<torch::nn::Linear>()) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(linear->weight.size(1)));
      fill_uniform(linear->weight, bound, stream_of(seed, name + ".weight"));
      fill_uniform(linear->bias, bound, stream_of(seed, name + ".bias"));
      known.insert({name + ".weight", name + ".bias"});
    }
  }
  // What has no rule would keep LibTorch's own numbers, which follow no seed of ours.
  std::string unknown;
  for (const auto& entry : network.named_parameters()) {
    if (known.count(entry.key()) == 0) unknown += (unknown.empty() ? "" : ", ") + entry.key();
  }
  if (!unknown.empty()) throw ModelError("no rule for the initial values of " + unknown);
}

void initialise_diffusion(torch::nn::Module& network, std::uint64_t seed,
                          const std::vector<std::string>& zeros) {
  torch::NoGradGuard no_gradients;
  constexpr double embedding_deviation = 0.02;
  for (const auto& entry : network.named_parameters()) {
    const auto& name = entry.key();
    const auto& tensor = entry.value();
    const auto ends_with = [&](const std::string& tail) {
      return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
    };
    bool zero = ends_with("bias");
    for (const auto& tail : zeros) zero = zero || ends_with(tail);
    if (zero) {
      tensor.detach().zero_();
    } else if (tensor.dim() == 1) {
      tensor.detach().fill_(1.0);
    } else if (ends_with("embedding.weight")) {
      fill_normal(tensor.detach(), embedding_deviation, stream_of(seed, name));
    } else {
      double fan_in = 1;
      for (std::int64_t i = 1; i < tensor.dim(); ++i) fan_in *= static_cast<double>(tensor.size(i));
      fill_uniform(tensor.detach(), 1.0 / std::sqrt(fan_in), stream_of(seed, name));
    }
  }
}

}  // namespace deda::models
