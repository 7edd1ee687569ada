#include "pretended_device/strictness.h"

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/enum_tag.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pretended_device/host_tensors.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {

// Their variants that write to a given output carry no tag.
constexpr std::array<std::string_view, 14> waiting_operations{"aten::_local_scalar_dense",
                                                              "aten::bincount",
                                                              "aten::equal",
                                                              "aten::is_nonzero",
                                                              "aten::masked_select",
                                                              "aten::nonzero",
                                                              "aten::_unique",
                                                              "aten::_unique2",
                                                              "aten::unique_dim",
                                                              "aten::unique_consecutive",
                                                              "aten::unique_dim_consecutive",
                                                              "aten::repeat_interleave",
                                                              "aten::histc",
                                                              "aten::_ctc_loss"};
constexpr std::array<std::string_view, 5> indexing_operations{
    "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl", "aten::_index_put_impl_"};
// Not element-wise, but with an argument that the kernel takes as a number: a value, or a learning rate.
constexpr std::array<std::string_view, 6> operations_with_numbers{"aten::fill",        "aten::fill_",
                                                                  "aten::masked_fill", "aten::masked_fill_",
                                                                  "aten::index_fill",  "aten::index_fill_"};

template <class Names>
bool contains(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_mask(const at::Tensor& tensor) {
  return tensor.defined() && (tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte);
}

std::vector<at::Tensor> tensors_of(const c10::IValue& value) {
  std::vector<at::Tensor> tensors;
  with_tensors(value, [&](const at::Tensor& tensor) {
    if (tensor.defined()) tensors.push_back(tensor);
    return tensor;
  });
  return tensors;
}

// Overloads that write to a given output do not all carry the tag: any overload's tag counts.
bool is_element_wise(const std::string& name) {
  static std::mutex mutex;
  static std::unordered_map<std::string, bool> known;
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(name); found != known.end()) return found->second;
  bool tagged = false;
  for (const auto& registered : c10::Dispatcher::singleton().getAllOpNames()) {
    if (registered.name != name) continue;
    const auto operation = c10::Dispatcher::singleton().findOp(registered);
    tagged = tagged || (operation && operation->hasTag(at::Tag::pointwise));
  }
  return known[name] = tagged;
}

bool takes_numbers(const std::string& name) {
  return is_element_wise(name) || contains(operations_with_numbers, name) ||
         name.starts_with("aten::_fused_") || name.starts_with("aten::_foreach_");
}

}  // namespace

std::string reason_to_wait(const c10::OperatorHandle& operation, const torch::jit::Stack& arguments) {
  const auto& name = operation.schema().name();
  if (contains(indexing_operations, name)) {
    for (const at::Tensor& index : tensors_of(arguments.at(1))) {
      if (is_mask(index)) return name + " with a mask";
      if (!on_device(index) && index.dim() > 0) return name + " with indices of the host";
    }
    return {};
  }
  const bool depends_on_data = operation.hasTag(at::Tag::data_dependent_output) ||
                               operation.hasTag(at::Tag::dynamic_output_shape) ||
                               contains(waiting_operations, name);
  return depends_on_data ? name : std::string{};
}

void check_devices(const c10::OperatorHandle& operation, const torch::jit::Stack& arguments) {
  const auto& schema = operation.schema();
  const bool indexing = contains(indexing_operations, schema.name());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].isGenerator() && arguments[i].toGenerator().defined()) {
      TORCH_CHECK(arguments[i].toGenerator().device() == device, schema.name(), " expects a generator of ",
                  device, ", but was given one of ", arguments[i].toGenerator().device());
    }
    const auto* const alias = schema.arguments()[i].alias_info();
    const bool written = alias != nullptr && alias->isWrite();
    for (const at::Tensor& tensor : tensors_of(arguments[i])) {
      if (on_device(tensor)) continue;
      const bool number = tensor.is_cpu() && tensor.dim() == 0 && !written && takes_numbers(schema.name());
      const bool index = indexing && i == 1 && tensor.is_cpu();
      TORCH_CHECK(number || index, schema.name(),
                  " expects all tensors to be on the same device, but its argument ",
                  schema.arguments()[i].name(), " is on ", tensor.device(), " and others are on ", device);
    }
  }
}

}  // namespace deda::pretended
