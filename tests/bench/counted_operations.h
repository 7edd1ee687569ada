// Counting what a piece of work asks for, beside measuring how long it takes.
#pragma once

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace deda::bench {

// Multiply-accumulates of convolutions, matrix products and attention, as the operators are called.
inline std::atomic<std::int64_t> counted{0};

inline std::int64_t product(at::IntArrayRef sizes) {
  std::int64_t all = 1;
  for (const auto size : sizes) all *= size;
  return all;
}

// Lists of sizes come as plain or as symbolic numbers; one number stands for both directions.
inline std::vector<std::int64_t> both_directions(const c10::IValue& value) {
  std::vector<std::int64_t> numbers;
  if (value.isIntList()) {
    numbers = value.toIntVector();
  } else {
    for (const auto& number : value.toSymIntVector()) numbers.push_back(number.expect_int());
  }
  if (numbers.size() == 1) numbers.push_back(numbers.front());
  return numbers;
}

inline std::int64_t operations_of(const std::string& name, c10::ArrayRef<const c10::IValue> inputs) {
  const auto sizes = [&](std::size_t i) { return inputs[i].toTensor().sizes(); };
  if (name == "aten::convolution") {
    const auto x = sizes(0), w = sizes(1);
    const auto stride = both_directions(inputs[3]), padding = both_directions(inputs[4]);
    std::int64_t places = x[0];
    for (std::size_t i = 0; i < 2; ++i) places *= (x[2 + i] + 2 * padding[i] - w[2 + i]) / stride[i] + 1;
    return places * product(w);
  }
  if (name == "aten::convolution_backward") {
    const auto grad = sizes(0), w = sizes(2);
    const auto mask = inputs[10].toBoolList();
    const std::int64_t one = grad[0] * grad[2] * grad[3] * product(w);
    return one * ((mask.get(0) ? 1 : 0) + (mask.get(1) ? 1 : 0));
  }
  if (name == "aten::mm" || name == "aten::bmm") return product(sizes(0)) * sizes(1).back();
  if (name == "aten::addmm" || name == "aten::baddbmm") return product(sizes(1)) * sizes(2).back();
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu") return 2 * product(sizes(0)) * sizes(1)[2];
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward")
    return 5 * product(sizes(1)) * sizes(2)[2];
  return 0;
}

inline std::unique_ptr<at::ObserverContext> count_operation(const at::RecordFunction& function) {
  counted += operations_of(function.name(), function.inputs());
  return nullptr;
}

// In everything that `work` does, on any thread.
template <class Work>
std::int64_t operations_in(const Work& work) {
  counted = 0;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(count_operation).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return counted;
}

}  // namespace deda::bench
