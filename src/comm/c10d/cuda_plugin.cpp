// libdeda_cuda.so: the only file that is compiled against CUDA and NCCL. Not linked into the program
// (cuda_plugin.h).
#include "comm/c10d/cuda_plugin.h"

#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>
#include <torch/version.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace deda::comm {

namespace {

class Plugin final : public CudaPlugin {
 public:
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

  std::int64_t free_bytes(int device) const override {
    const auto before = c10::cuda::current_device();
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(device));
    std::size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    c10::cuda::set_device(before);
    return static_cast<std::int64_t>(free);
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
