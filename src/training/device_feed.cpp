#include "training/device_feed.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <utility>

namespace deda::training {

using Clock = std::chrono::steady_clock;

DeviceBatch as_tensors(const augment::Batch& batch) {
  DeviceBatch view;
  view.size = batch.size;
  const auto rows = batch.size + batch.sources;
  view.pixels = at::from_blob(const_cast<std::uint8_t*>(batch.pixels.data()),
                              {rows, batch.height, batch.width, 3}, at::kByte);
  view.labels = at::from_blob(const_cast<float*>(batch.labels.data()), {rows, batch.classes}, at::kFloat);
  view.host = &batch;
  return view;
}

DeviceBatch on_device(const augment::Batch& batch, c10::Device device) {
  auto there = as_tensors(batch);
  there.pixels = there.pixels.to(device);
  there.labels = there.labels.to(device);
  return there;
}

DeviceFeed::DeviceFeed(std::unique_ptr<augment::BatchStream> stream, c10::Device device)
    : stream_{std::move(stream)}, device_{device} {
  if (device_.is_cpu()) return;
  uploader_.emplace(device_);
  step_started_.emplace(device_.type());
}

void DeviceFeed::fetch() {
  // The stream reuses the memory of the batch before: its copy must be through.
  if (uploader_) uploader_->finish_reading();
  const auto* batch = stream_->next();
  fetched_ = true;
  ended_ = batch == nullptr;
  if (ended_) return;
  ahead_ = as_tensors(*batch);
  if (!uploader_ || batch->size + batch->sources == 0) return;
  ahead_.pixels = uploader_->start(ahead_.pixels);
  ahead_.labels = uploader_->start(ahead_.labels);
}

const DeviceBatch* DeviceFeed::next() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (!fetched_) {
    const auto start = Clock::now();
    fetch();
    starved_ += std::chrono::duration<double>(Clock::now() - start).count();
  }
  if (ended_) return nullptr;
  fetched_ = false;
  current_ = std::move(ahead_);
  if (uploader_) uploader_->ready();
  return &current_;
}

void DeviceFeed::prefetch() {
  if (!uploader_ || fetched_ || failure_) return;
  step_started_->record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  const auto start = Clock::now();
  try {
    fetch();
  } catch (...) {
    failure_ = std::current_exception();
  }
  // Where the step was through before its successor's pictures were there, the device stood still, if not all
  // of that time: more than it was, not less.
  if (step_started_->query()) starved_ += std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace deda::training
