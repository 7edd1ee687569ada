// Numbers that follow from sizes alone (indices, masks), kept where they were last needed. Made anew in every
// pass they cost a copy from the host each, for which the host waits until the device has caught up.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <mutex>
#include <utility>

namespace deda::models {

class KeptTensor {
 public:
  // `make` computes the numbers on the CPU; in what type is all the same to it.
  explicit KeptTensor(std::function<at::Tensor()> make) : make_{std::move(make)} {}

  // On that device and in that type; made anew when either changes. Safe from many threads and streams: it is
  // complete when it is returned.
  at::Tensor on(at::Device device, at::ScalarType type) const {
    const std::lock_guard lock{mutex_};
    if (!kept_.defined() || kept_.device() != device || kept_.scalar_type() != type)
      kept_ = make_().to(type).to(device);
    return kept_;
  }

 private:
  std::function<at::Tensor()> make_;
  mutable std::mutex mutex_;
  mutable at::Tensor kept_;
};

}  // namespace deda::models
