// What LibTorch must know of a device: its name, its streams and events, its pinned memory.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <chrono>

#include "pretended_device/activity.h"
#include "pretended_device/memory.h"
#include "pretended_device/pretended_device.h"
#include "pretended_device/recording.h"
#include "pretended_device/streams.h"

namespace deda::pretended {

namespace {

constexpr c10::DeviceIndex device_count = 1;

// All work before it is done when it is recorded; it knows only when that was, and in which recording.
struct Event {
  std::chrono::steady_clock::time_point time;
  std::int64_t recording = 0;
};

void check_device(c10::Device wanted) {
  TORCH_CHECK(wanted.type() == device.type() && wanted.index() < device_count, "there is no device ", wanted,
              ", only ", device);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return device.type(); }
  c10::Device exchangeDevice(c10::Device wanted) const override {
    check_device(wanted);
    return device;
  }
  c10::Device getDevice() const override { return device; }
  void setDevice(c10::Device wanted) const override { check_device(wanted); }
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return device_count; }

  c10::Stream getStream(c10::Device) const override { return current_stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return default_stream(); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream_from_pool(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream_from_pool(); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return exchange_stream(stream); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override { host_waits("synchronising a stream"); }
  void synchronizeDevice(c10::DeviceIndex) const override {
    host_waits_on_purpose("synchronising the device");
  }

  void record(void** event, const c10::Stream& stream, c10::DeviceIndex, c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event;
    *static_cast<Event*>(*event) = {std::chrono::steady_clock::now(), recording_of(stream)};
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event != nullptr) stream_waits(stream, static_cast<Event*>(event)->recording);
  }
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { host_waits_on_purpose("synchronising an event"); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  double elapsedTime(void* first, void* second, c10::DeviceIndex) const override {
    using Milliseconds = std::chrono::duration<double, std::milli>;
    return Milliseconds(static_cast<Event*>(second)->time - static_cast<Event*>(first)->time).count();
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return device_count; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex getCurrentDevice() const override { return device.index(); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return device.index(); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return device.index(); }
  // Random operations run on the host with its generator.
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
  at::Device getDeviceFromPtr(void*) const override { return device; }
  bool isPinnedPtr(const void* pointer) const override { return is_pinned(pointer); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator(); }
  void resizePrivateUse1Bytes(const c10::Storage& storage, std::size_t bytes) const override {
    resize_storage(storage, bytes);
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

const bool device_registered = [] {
  c10::register_privateuse1_backend("pretended");
  at::RegisterPrivateUse1HooksInterface(new Hooks);  // for the life of the process
  return true;
}();

}  // namespace
}  // namespace deda::pretended
