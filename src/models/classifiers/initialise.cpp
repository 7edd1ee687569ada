#include "models/classifiers/initialise.h"

#include <torch/nn/module.h>

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "models/classifiers/classifier.h"
#include "models/classifiers/initial_values.h"

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

void fill(const torch::Tensor& parameter, InitialValues values, std::uint64_t seed, const std::string& name) {
  switch (values.law) {
    case InitialValues::Law::constant:
      parameter.detach().fill_(values.value);
      return;
    case InitialValues::Law::normal:
      fill_normal(parameter.detach(), values.value, stream_of(seed, name));
      return;
    case InitialValues::Law::uniform:
      fill_uniform(parameter.detach(), values.value, stream_of(seed, name));
      return;
  }
}

bool ends_with(const std::string& name, std::string_view tail) {
  return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
}

// Batch norm's: as if no batch had been seen.
std::optional<double> value_of_buffer(const std::string& name) {
  if (ends_with(name, ".running_mean") || ends_with(name, ".num_batches_tracked")) return 0.0;
  if (ends_with(name, ".running_var")) return 1.0;
  return {};
}

}  // namespace

InitialValues he_fan_out(const at::Tensor& kernel) {
  const auto fan_out = static_cast<double>(kernel.size(0) * kernel.size(2) * kernel.size(3));
  return normal_values(std::sqrt(2.0 / fan_out));
}

InitialValues he_fan_in(const at::Tensor& kernel) {
  const auto fan_in = static_cast<double>(kernel.size(1) * kernel.size(2) * kernel.size(3));
  return normal_values(std::sqrt(2.0 / fan_in));
}

InitialValues xavier_uniform(const at::Tensor& matrix) {
  const auto in_and_out = static_cast<double>(matrix.size(0) + matrix.size(1));
  return {InitialValues::Law::uniform, std::sqrt(6.0 / in_and_out)};
}

InitialValues plain_linear(std::int64_t in) {
  return {InitialValues::Law::uniform, 1.0 / std::sqrt(static_cast<double>(in))};
}

std::optional<InitialValues> norm_values(const std::string& name) {
  const auto dot = name.rfind('.');
  if (dot == std::string::npos) return {};
  const auto norm = name.substr(0, dot), kind = name.substr(dot + 1);
  const auto last = norm.substr(norm.rfind('.') + 1);  // of no dot: all of it
  const bool is_norm = last.rfind("bn", 0) == 0 || last.rfind("norm", 0) == 0 || last.rfind("ln", 0) == 0 ||
                       ends_with(norm, ".downsample.1");
  if (!is_norm || (kind != "weight" && kind != "bias")) return {};
  return constant_values(kind == "weight" ? 1.0 : 0.0);
}

void initialise(Classifier& network, std::uint64_t seed) {
  std::vector<std::pair<std::string, InitialValues>> rules;
  std::string unknown;  // what has no rule would keep numbers that follow no seed of ours
  for (const auto& entry : network.named_parameters()) {
    if (const auto values = network.initial_values(entry.key(), entry.value())) {
      rules.emplace_back(entry.key(), *values);
    } else {
      unknown += (unknown.empty() ? "" : ", ") + entry.key();
    }
  }
  for (const auto& entry : network.named_buffers()) {
    if (!value_of_buffer(entry.key())) unknown += (unknown.empty() ? "" : ", ") + entry.key();
  }
  if (!unknown.empty()) throw ModelError("no rule for the initial values of " + unknown);

  const torch::NoGradGuard no_gradients;
  auto parameters = network.named_parameters();
  for (const auto& [name, values] : rules) fill(parameters[name], values, seed, name);
  for (const auto& entry : network.named_buffers()) {
    at::Tensor buffer = entry.value();
    buffer.fill_(*value_of_buffer(entry.key()));
  }
}

void initialise_fresh_head(Classifier& network, std::uint64_t seed) {
  const torch::NoGradGuard no_gradients;
  auto parameters = network.named_parameters();
  const auto weight = network.head_name() + ".weight", bias = network.head_name() + ".bias";
  const auto values = plain_linear(parameters[weight].size(1));
  for (const auto& name : {weight, bias}) fill(parameters[name], values, seed, name);
}

void initialise_diffusion(torch::nn::Module& network, std::uint64_t seed,
                          const std::vector<std::string>& zeros) {
  torch::NoGradGuard no_gradients;
  constexpr double embedding_deviation = 0.02;
  for (const auto& entry : network.named_parameters()) {
    const auto& name = entry.key();
    const auto& tensor = entry.value();
    bool zero = ends_with(name, "bias");
    for (const auto& tail : zeros) zero = zero || ends_with(name, tail);
    if (zero) {
      tensor.detach().zero_();
    } else if (tensor.dim() == 1) {
      tensor.detach().fill_(1.0);
    } else if (ends_with(name, "embedding.weight")) {
      fill_normal(tensor.detach(), embedding_deviation, stream_of(seed, name));
    } else {
      double fan_in = 1;
      for (std::int64_t i = 1; i < tensor.dim(); ++i) fan_in *= static_cast<double>(tensor.size(i));
      fill_uniform(tensor.detach(), 1.0 / std::sqrt(fan_in), stream_of(seed, name));
    }
  }
}

}  // namespace deda::models
