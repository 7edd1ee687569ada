// Batches where the network is: on the CPU the pipeline's own memory, on a GPU copies that travel while the
// step before computes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>

#include "augment/batch_stream.h"
#include "device/upload.h"

namespace deda::training {

// This rank's share of a batch, and behind it `host->sources` further pictures where a method mixes on the
// device.
struct DeviceBatch {
  std::int64_t size = 0;
  at::Tensor pixels;                     // [size + sources, H, W, 3] uint8
  at::Tensor labels;                     // [size + sources, classes] float32
  const augment::Batch* host = nullptr;  // where it came from; until the feed is asked for more
  at::Tensor pictures;  // [size, 3, H, W] float32, normalised: of a batch that was mixed on the device,
                        // instead of pixels
};

// The batch as it lies in memory, without a copy; valid as long as `batch` is.
DeviceBatch as_tensors(const augment::Batch& batch);
// The same on `device`. Waits for the copy: for tests and single batches.
DeviceBatch on_device(const augment::Batch& batch, c10::Device device);

class DeviceFeed {
 public:
  DeviceFeed(std::unique_ptr<augment::BatchStream> stream, c10::Device device);

  // The next batch; nullptr after the last. Tensors may be kept on a GPU; on the CPU they are valid until the
  // next call. Throws what went wrong with the data.
  const DeviceBatch* next();
  // To be called when the step on the last batch has been started: takes the batch after it from the pipeline
  // and starts its copy. On the CPU, where nothing runs beside the step, does nothing. Keeps errors for
  // next().
  void prefetch();
  // Seconds in which pictures were waited for and the device had nothing to do either.
  double seconds_starved() const { return starved_; }

 private:
  void fetch();

  std::unique_ptr<augment::BatchStream> stream_;
  c10::Device device_;
  std::optional<device::Uploader> uploader_;  // empty on the CPU
  std::optional<c10::Event> step_started_;    // GPU: after the kernels of the step before
  DeviceBatch current_, ahead_;
  bool fetched_ = false, ended_ = false;  // ahead_ holds the next batch; there is none
  std::exception_ptr failure_;
  double starved_ = 0;
};

}  // namespace deda::training
