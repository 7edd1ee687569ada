#include "pretended_device/host_tensors.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>

#include "pretended_device/memory.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {

void take_geometry(const at::Tensor& tensor, const at::Tensor& from) {
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(from.sizes(), from.strides(), from.storage_offset());
  if (from.is_conj()) tensor._set_conj(true);
  if (from.is_neg()) tensor._set_neg(true);
}

at::Tensor make_tensor(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  auto tensor =
      at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), like.dtype());
  take_geometry(tensor, like);
  return tensor;
}

}  // namespace

bool on_device(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_privateuseone();
}

c10::IValue with_tensors(const c10::IValue& value,
                         const std::function<at::Tensor(const at::Tensor&)>& change) {
  if (value.isTensor()) return change(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(change(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      list.push_back(tensor ? std::optional(change(*tensor)) : std::nullopt);
    return list;
  }
  return value;
}

c10::Storage HostTensors::storage_of(const c10::Storage& on_device) {
  for (const auto& [device_side, host_side] : storages_) {
    if (device_side.is_alias_of(on_device)) return host_side;
  }
  c10::Storage host(c10::Storage::use_byte_size_t{}, on_device.nbytes(), host_view(on_device.data_ptr()),
                    c10::GetCPUAllocator(), /*resizable=*/true);
  storages_.emplace_back(on_device, host);
  return host;
}

at::Tensor HostTensors::view(const at::Tensor& on_device) {
  for (const auto& [device_side, host_side] : tensors_) {
    if (device_side.is_same(on_device)) return host_side;
  }
  TORCH_CHECK(on_device.has_storage(), "the pretended device knows strided tensors only, no ",
              on_device.layout());
  auto host = make_tensor(storage_of(on_device.storage()), c10::DispatchKey::CPU, on_device);
  if (on_device.unsafeGetTensorImpl()->is_wrapped_number())
    host.unsafeGetTensorImpl()->set_wrapped_number(true);
  tensors_.emplace_back(on_device, host);
  return host;
}

bool HostTensors::made(const at::Tensor& host) const {
  return std::ranges::any_of(tensors_, [&](const auto& pair) { return pair.second.is_same(host); });
}

void HostTensors::write_back() const {
  for (const auto& [device_side, host_side] : storages_) {
    if (device_side.data() == host_side.data()) continue;
    auto* const storage = device_side.unsafeGetStorageImpl();
    storage->set_data_ptr_noswap(adopt(host_side));
    storage->set_nbytes(host_side.nbytes());
  }
  for (const auto& [device_side, host_side] : tensors_) {
    if (device_side.sizes() == host_side.sizes() && device_side.strides() == host_side.strides() &&
        device_side.storage_offset() == host_side.storage_offset())
      continue;
    device_side.unsafeGetTensorImpl()->set_sizes_and_strides(host_side.sizes(), host_side.strides(),
                                                             host_side.storage_offset());
  }
}

at::Tensor HostTensors::view_of(const c10::Storage& on_device, const at::Tensor& like) const {
  for (const auto& [device_side, host_side] : tensors_) {
    if (!device_side.storage().is_alias_of(on_device)) continue;
    // A view is tracked by autograd where its base is.
    auto view = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(on_device),
                                                         device_side.key_set(), like.dtype());
    take_geometry(view, like);
    return view;
  }
  return make_tensor(on_device, c10::DispatchKey::PrivateUse1, like);
}

at::Tensor HostTensors::to_device(const at::Tensor& result) {
  if (!result.defined()) return result;
  for (const auto& [device_side, host_side] : tensors_) {
    if (host_side.is_same(result)) return device_side;
  }
  TORCH_CHECK(result.has_storage(), "the pretended device knows strided tensors only, no ", result.layout());
  for (const auto& [device_side, host_side] : storages_) {
    if (host_side.is_alias_of(result.storage())) return view_of(device_side, result);
  }
  c10::Storage storage(c10::Storage::use_byte_size_t{}, result.storage().nbytes(), adopt(result.storage()),
                       &device_allocator(), /*resizable=*/true);
  // Several results may be views of one storage.
  storages_.emplace_back(storage, result.storage());
  fresh_.push_back(storage);
  return make_tensor(std::move(storage), c10::DispatchKey::PrivateUse1, result);
}

}  // namespace deda::pretended
