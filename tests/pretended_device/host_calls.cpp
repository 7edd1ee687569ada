#include "pretended_device/host_calls.h"

#include <torch/library.h>

#include <algorithm>
#include <string>

#include "pretended_device/activity.h"
#include "pretended_device/pretended_device.h"
#include "pretended_device/recording.h"
#include "pretended_device/strictness.h"

namespace deda::pretended {

namespace {

c10::IValue to_host(const c10::IValue& value, HostTensors& tensors) {
  if (value.isDevice() && value.toDevice() == device) return c10::Device(c10::kCPU);
  return with_tensors(
      value, [&](const at::Tensor& tensor) { return on_device(tensor) ? tensors.view(tensor) : tensor; });
}

// A number that the host holds is handed to the kernel when it starts: in a recording it stays what it is
// now.
c10::IValue with_own_numbers(const c10::IValue& argument, const HostTensors& tensors) {
  return with_tensors(argument, [&](const at::Tensor& tensor) {
    if (!tensor.defined() || tensors.made(tensor)) return tensor;
    const HostScope host;
    auto own = tensor.clone();
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number())
      own.unsafeGetTensorImpl()->set_wrapped_number(true);
    return own;
  });
}

// The argument that a result is: the one with the same alias name, written to.
int written_argument(const c10::FunctionSchema& schema, const c10::Argument& result) {
  const auto* const alias = result.alias_info();
  if (alias == nullptr || !alias->isWrite()) return -1;
  for (std::size_t i = 0; i < schema.arguments().size(); ++i) {
    const auto* const candidate = schema.arguments()[i].alias_info();
    if (candidate != nullptr && candidate->isWrite() && candidate->beforeSets() == alias->beforeSets())
      return static_cast<int>(i);
  }
  return -1;
}

bool writes(const c10::FunctionSchema& schema) {
  return std::ranges::any_of(schema.arguments(), [](const c10::Argument& argument) {
    return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
  });
}

// Results are views of arguments and nothing is written: only sizes and strides were computed.
bool is_view(const c10::FunctionSchema& schema) {
  return !writes(schema) && !schema.returns().empty() &&
         std::ranges::all_of(schema.returns(),
                             [](const c10::Argument& result) { return result.alias_info() != nullptr; });
}

void write_result(const at::Tensor& kept, const at::Tensor& fresh) {
  // The same memory: written in place, or a view of what was.
  if (!kept.defined() || kept.const_data_ptr() == fresh.const_data_ptr()) return;
  kept.copy_(fresh);
}

// What a replay runs. Holds the memory of all tensors that take part.
struct Replay {
  c10::OperatorHandle operation;
  torch::jit::Stack arguments, results;
  std::vector<c10::Storage> kept;  // the device's storages of fresh results

  void operator()() const {
    auto stack = arguments;
    operation.callBoxed(stack);
    for (std::size_t i = 0; i < stack.size(); ++i) {
      if (results[i].isTensor()) {
        write_result(results[i].toTensor(), stack[i].toTensor());
      } else if (results[i].isTensorList()) {
        const auto before = results[i].toTensorVector(), now = stack[i].toTensorVector();
        for (std::size_t k = 0; k < before.size(); ++k) write_result(before[k], now[k]);
      }
    }
  }
};

}  // namespace

torch::jit::Stack run_on_host(const c10::OperatorHandle& operation, torch::jit::Stack arguments,
                              HostTensors& tensors) {
  const auto& schema = operation.schema();
  const bool recorded = current_stream_is_recorded() && !is_view(schema);
  if (recorded) {
    for (const auto& memory : tensors.seen()) keep_as_it_was(memory);
  }
  torch::jit::Stack results = arguments;
  {
    const HostScope host;
    operation.callBoxed(results);
  }
  tensors.write_back();
  torch::jit::Stack on_device;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool known = written_argument(schema, schema.returns()[i]) >= 0;
    on_device.push_back(known ? c10::IValue() : with_tensors(results[i], [&](const at::Tensor& tensor) {
      return tensors.to_device(tensor);
    }));
  }
  if (recorded) record(Replay{operation, std::move(arguments), std::move(results), tensors.fresh()});
  return on_device;
}

void boxed_kernel(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const auto& schema = operation.schema();
  const auto count = schema.arguments().size();
  const torch::jit::Stack given(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  check_devices(operation, given);
  if (const auto reason = reason_to_wait(operation, given); !reason.empty()) host_waits(reason);
  if (!is_view(schema)) count_operation(schema.name());

  HostTensors tensors;
  torch::jit::Stack arguments;
  for (const c10::IValue& value : given) {
    auto argument = to_host(value, tensors);
    arguments.push_back(current_stream_is_recorded() ? with_own_numbers(argument, tensors) : argument);
  }
  auto results = run_on_host(operation, std::move(arguments), tensors);
  torch::jit::drop(*stack, count);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const int argument = written_argument(schema, schema.returns()[i]);
    stack->push_back(argument < 0 ? results[i] : given[static_cast<std::size_t>(argument)]);
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&boxed_kernel>());
}

}  // namespace deda::pretended
