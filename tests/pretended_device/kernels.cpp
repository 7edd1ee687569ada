// Operations that make tensors or change what a tensor's memory is, and those that LibTorch would send
// elsewhere.
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "pretended_device/host_calls.h"
#include "pretended_device/memory.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {

constexpr c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);

void check_options(std::optional<at::Layout> layout, std::optional<bool> pin_memory) {
  TORCH_CHECK(layout.value_or(at::kStrided) == at::kStrided,
              "the pretended device knows strided tensors only");
  TORCH_CHECK(!pin_memory.value_or(false), "only memory of the host can be pinned");
}

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout> layout,
                 std::optional<at::Device>, std::optional<bool> pin_memory,
                 std::optional<at::MemoryFormat> format) {
  check_options(layout, pin_memory);
  return at::detail::empty_generic(size, &device_allocator(), keys, c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> type,
                         std::optional<at::Layout> layout, std::optional<at::Device>,
                         std::optional<bool> pin_memory) {
  check_options(layout, pin_memory);
  return at::detail::empty_strided_generic(size, stride, &device_allocator(), keys,
                                           c10::dtype_or_default(type));
}

void make_room(const at::Tensor& tensor, c10::IntArrayRef size, c10::IntArrayRef stride,
               std::int64_t offset) {
  const auto bytes =
      at::detail::computeStorageNbytes(size, stride, tensor.itemsize(), static_cast<std::size_t>(offset));
  if (bytes > tensor.storage().nbytes()) resize_storage(tensor.storage(), bytes);
}

const at::Tensor& resize(const at::Tensor& self, c10::IntArrayRef size,
                         std::optional<at::MemoryFormat> format) {
  auto* const tensor = self.unsafeGetTensorImpl();
  tensor->set_sizes_contiguous(size);
  if (format) tensor->empty_tensor_restride(*format);
  make_room(self, self.sizes(), self.strides(), self.storage_offset());
  return self;
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source, std::int64_t offset, c10::IntArrayRef size,
                        c10::IntArrayRef stride) {
  TORCH_CHECK(source.device() == device, "set_ of a tensor of ", device, " was given memory of ",
              source.device());
  auto* const tensor = self.unsafeGetTensorImpl();
  tensor->set_storage_keep_dtype(std::move(source));
  if (stride.data() == nullptr)
    tensor->set_sizes_contiguous(size);
  else
    tensor->set_sizes_and_strides(size, stride);
  tensor->set_storage_offset(offset);
  make_room(self, self.sizes(), self.strides(), offset);
  return self;
}

at::Tensor& set_whole_storage(at::Tensor& self, at::Storage source) {
  const auto size = static_cast<std::int64_t>(source.nbytes() / self.itemsize());
  return set_storage(self, std::move(source), 0, {size}, {});
}

at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  return set_storage(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_empty(at::Tensor& self) {
  return set_storage(self, c10::Storage(c10::Storage::use_byte_size_t{}, 0, &device_allocator(), true), 0,
                     {0}, {});
}

// Module::to() moves a parameter by giving it other data: allowed between the host and this device.
bool has_compatible_shallow_copy_type(const at::Tensor& self, const at::Tensor& from) {
  return self.layout() == at::kStrided && from.layout() == at::kStrided &&
         (self.is_cpu() || on_device(self)) && (from.is_cpu() || on_device(from));
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty);
  library.impl("empty_strided", &empty_strided);
  library.impl("resize_", &resize);
  library.impl("set_.source_Storage", &set_whole_storage);
  library.impl("set_.source_Storage_storage_offset", &set_storage);
  library.impl("set_.source_Tensor", &set_tensor);
  library.impl("set_", &set_empty);
  library.impl("_has_compatible_shallow_copy_type", &has_compatible_shallow_copy_type);
  // By default LibTorch looks for a back end that this device has none of, or takes these apart, which it
  // does not do for CUDA; losses would write to an output of a wrong size first.
  for (const char* name : {"convolution", "convolution_backward", "native_group_norm", "native_layer_norm",
                           "mse_loss", "smooth_l1_loss"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&boxed_kernel>());
}

// LibTorch 2.7 has no fallback for autograd of such devices, and an operation that is made of others loses
// its own there with the kernel above.
TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, library) {
  library.impl("_has_compatible_shallow_copy_type", torch::CppFunction::makeFallthrough());
}

}  // namespace
}  // namespace deda::pretended
