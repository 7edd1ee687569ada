// libdeda_cuda.so: the only file that is compiled against CUDA and NCCL. Not linked into the program
// (cuda_plugin.h).
#include "comm/c10d/cuda_plugin.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>
#include <torch/version.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace deda::comm {

namespace {

constexpr int first_with_bfloat16 = 8;  // major compute capability: Ampere
// Of the allocator's statistics: pools large and small together.
constexpr std::size_t all_pools = 0;

auto statistics_of(int device) {
  // The allocator of a process that has not used the device yet knows nothing of it.
  c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
  return c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
}

class CudaGraph final : public CapturedWork {
 public:
  CudaGraph(const std::function<void()>& work, int warm_ups) {
    const auto here = c10::cuda::getCurrentCUDAStream();
    const auto beside = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, here.device_index());
    c10::cuda::device_synchronize();
    {
      const c10::cuda::CUDAStreamGuard guard(beside);
      for (int i = 0; i < warm_ups; ++i) work();
      c10::cuda::device_synchronize();
      // Thread-local: the other threads of the process may allocate and copy meanwhile.
      graph_.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      try {
        work();
      } catch (...) {
        abandon();
        throw;
      }
      graph_.capture_end();
    }
    c10::cuda::device_synchronize();
  }
  void replay() const override { graph_.replay(); }

 private:
  // The stream must leave its capturing state, whatever the reason was.
  void abandon() {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
      static_cast<void>(cudaGetLastError());  // the failed capture's error is sticky until it is read
    }
    graph_.reset();
  }
  mutable at::cuda::CUDAGraph graph_;
};

class Plugin final : public CudaPlugin {
 public:
  c10::DeviceType device_type() const override { return c10::DeviceType::CUDA; }
  int device_count() const override { return c10::cuda::device_count(); }

  std::vector<VisibleDevice> devices() const override {
    std::vector<VisibleDevice> devices;
    for (int device = 0; device < device_count(); ++device) {
      const cudaDeviceProp properties = properties_of(device);
      devices.push_back({uuid_text(properties.uuid), properties.name});
    }
    return devices;
  }

  std::string compute_capability(int device) const override {
    const cudaDeviceProp properties = properties_of(device);
    return fmt::format("{}.{}", properties.major, properties.minor);
  }

  bool has_bfloat16(int device) const override { return properties_of(device).major >= first_with_bfloat16; }

  std::int64_t free_bytes(int device) const override {
    const auto stats = statistics_of(device);
    return memory_of(device).first + stats.reserved_bytes[all_pools].current -
           stats.allocated_bytes[all_pools].current;
  }
  std::int64_t total_bytes(int device) const override { return memory_of(device).second; }
  std::int64_t peak_bytes(int device) const override {
    return statistics_of(device).allocated_bytes[all_pools].peak;
  }
  void reset_peak(int device) const override {
    statistics_of(device);
    c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(device));
  }
  void release_kept_blocks() const override { c10::cuda::CUDACachingAllocator::emptyCache(); }

  void forbid_waiting(bool on) const override {
    using c10::cuda::SyncDebugMode;
    c10::cuda::warning_state().set_sync_debug_mode(on ? SyncDebugMode::L_ERROR : SyncDebugMode::L_DISABLED);
  }

  std::unique_ptr<CapturedWork> capture(const std::function<void()>& work, int warm_ups) const override {
    return std::make_unique<CudaGraph>(work, warm_ups);
  }

  void set_device(int device) const override { c10::cuda::set_device(static_cast<c10::DeviceIndex>(device)); }
  void synchronize() const override { c10::cuda::device_synchronize(); }

  std::string nccl_version() const override {
    int version = 0;
    if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
    return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                      int size,
                                                      std::chrono::milliseconds timeout) const override {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  }

 private:
  static std::pair<std::int64_t, std::int64_t> memory_of(int device) {
    const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
    std::size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
  }
  static cudaDeviceProp properties_of(int device) {
    cudaDeviceProp properties{};
    C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
    return properties;
  }
  static std::string uuid_text(const cudaUUID_t& uuid) {
    std::string text;
    for (const char byte : uuid.bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return text;
  }
};

}  // namespace
}  // namespace deda::comm

extern "C" {
const char* deda_cuda_plugin_built_for() {
  static const std::string text =
      fmt::format("interface {}, LibTorch {}", deda::comm::cuda_plugin_interface, TORCH_VERSION);
  return text.c_str();
}
deda::comm::CudaPlugin* deda_cuda_plugin() {
  static deda::comm::Plugin plugin;
  return &plugin;
}
}
