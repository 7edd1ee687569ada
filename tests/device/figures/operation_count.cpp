#include "device/figures/operation_count.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <cstring>
#include <memory>

namespace deda::figures {
namespace {

// Of this thread. An operator inside of a counted one is not counted again: linear calls addmm, autocast
// calls linear from linear.
thread_local double counted = 0;
thread_local int depth = 0;

double product(at::IntArrayRef sizes) {
  double all = 1;
  for (const auto size : sizes) all *= static_cast<double>(size);
  return all;
}

std::int64_t first_of(const c10::IValue& value) {
  if (value.isInt()) return value.toInt();
  if (value.isIntList()) return value.toIntVector().front();
  return value.toSymIntVector().front().expect_int();
}

// The multiplications of one call; negative: an operator that is not counted.
double multiplications_of(const char* name, c10::ArrayRef<const c10::IValue> inputs) {
  const auto is = [&](const char* other) { return std::strcmp(name, other) == 0; };
  const auto sizes = [&](std::size_t i) { return inputs[i].toTensor().sizes(); };
  if (is("aten::linear")) return product(sizes(0)) * static_cast<double>(sizes(1)[0]);
  if (is("aten::mm") || is("aten::bmm") || is("aten::matmul"))
    return product(sizes(0)) * static_cast<double>(sizes(1).back());
  if (is("aten::addmm") || is("aten::baddbmm"))
    return product(sizes(1)) * static_cast<double>(sizes(2).back());
  if (is("aten::conv2d") || is("aten::convolution")) {
    const auto x = sizes(0), w = sizes(1);
    const auto stride = first_of(inputs[3]), padding = first_of(inputs[4]);  // alike in both directions
    const auto places = [&](std::size_t axis) { return (x[axis] + 2 * padding - w[axis]) / stride + 1; };
    return static_cast<double>(x[0] * places(2) * places(3)) * product(w);
  }
  if (is("aten::scaled_dot_product_attention"))
    return product(sizes(0)) * static_cast<double>(sizes(1)[2]) +
           product(sizes(0)) / static_cast<double>(sizes(0).back()) * static_cast<double>(sizes(1)[2]) *
               static_cast<double>(sizes(2).back());
  return -1;
}

struct Counted : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  const double multiplications = multiplications_of(function.name(), function.inputs());
  if (multiplications < 0) return nullptr;
  if (depth++ == 0) counted += multiplications;
  return std::make_unique<Counted>();
}

void leave(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr) --depth;
}

}  // namespace

double operations_in(const std::function<void()>& work) {
  counted = 0;
  depth = 0;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(enter, leave).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  try {
    work();
  } catch (...) {
    at::removeCallback(handle);
    throw;
  }
  at::removeCallback(handle);
  return 2 * counted;  // a multiplication and an addition
}

}  // namespace deda::figures
