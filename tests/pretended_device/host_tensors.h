// Tensors of the device seen as tensors of the host over the same memory, for the time of one operation.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <utility>
#include <vector>

namespace deda::pretended {

bool on_device(const at::Tensor& tensor);

// Applies `change` to a tensor or to those of a list; anything else stays as it is.
c10::IValue with_tensors(const c10::IValue& value,
                         const std::function<at::Tensor(const at::Tensor&)>& change);

class HostTensors {
 public:
  // The host's view of a device tensor. Tensors that share a storage share it here too, and the same tensor
  // is the same again: operations look at both.
  at::Tensor view(const at::Tensor& on_device);

  // Whether view() made it.
  bool made(const at::Tensor& host) const;

  // After the operation: sizes that it changed and memory that it replaced (resized outputs) go back.
  void write_back() const;

  // What a result is on the device: the tensor that it was viewed from, a tensor over the same storage, or a
  // new one that takes over the result's memory.
  at::Tensor to_device(const at::Tensor& result);
  // The device's storages that view() has seen.
  std::vector<c10::Storage> seen() const {
    std::vector<c10::Storage> all;
    for (const auto& [on_device, on_host] : storages_) all.push_back(on_device);
    return all;
  }
  // Storages that to_device() made anew.
  const std::vector<c10::Storage>& fresh() const { return fresh_; }

 private:
  c10::Storage storage_of(const c10::Storage& on_device);
  at::Tensor view_of(const c10::Storage& on_device, const at::Tensor& like) const;

  std::vector<std::pair<c10::Storage, c10::Storage>> storages_;  // device, host
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;       // device, host
  std::vector<c10::Storage> fresh_;
};

}  // namespace deda::pretended
