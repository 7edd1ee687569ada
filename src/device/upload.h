// Copies from the host to a device on a stream of their own, so that they run while kernels compute.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <optional>

namespace deda::device {

// From one thread. Works on any device that LibTorch has streams for.
class Uploader {
 public:
  // `device` is not the CPU.
  explicit Uploader(c10::Device device);
  // Starts the copy of `host` (pinned, contiguous; host_memory.h) into a new tensor and returns at once. The
  // result may be used after ready().
  at::Tensor start(const at::Tensor& host);
  // What the current stream does from now on comes after all copies started so far. The host does not wait.
  void ready();
  // The host waits until the copies have read their memory, which may then be written again. Nothing else of
  // the device is waited for.
  void finish_reading();

 private:
  c10::Device device_;
  c10::Stream stream_;
  std::optional<c10::Event> copied_;  // after the last copy; empty before the first
};

// A small array of the host as a tensor on `device`, by way of pinned memory: the host does not wait, as it
// would with at::tensor(...).to(device). One that is there already comes back as it is.
at::Tensor upload(const at::Tensor& host, c10::Device device);

}  // namespace deda::device
