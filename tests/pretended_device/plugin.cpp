// The door through which the program finds the pretended device: libdeda_cuda.so of another folder.
#include <fmt/format.h>
#include <torch/version.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "comm/c10d/cuda_plugin.h"
#include "pretended_device/activity.h"
#include "pretended_device/memory.h"
#include "pretended_device/pretended_device.h"
#include "pretended_device/recording.h"
#include "pretended_device/store_backend.h"

namespace deda::pretended {

namespace {

void check_index(int index) {
  TORCH_CHECK(index == device.index(), "there is no pretended device ", index, ", only ",
              int{device.index()});
}

class Plugin final : public comm::CudaPlugin {
 public:
  c10::DeviceType device_type() const override { return device.type(); }
  int device_count() const override { return 1; }
  // Each process has its own.
  std::vector<comm::VisibleDevice> devices() const override {
    return {{fmt::format("pretended-{}", getpid()), "pretended GPU"}};
  }
  std::string compute_capability(int index) const override {
    check_index(index);
    const char* pretended = std::getenv("DEDA_PRETENDED_CAPABILITY");
    return pretended != nullptr ? pretended : "8.0";
  }
  bool has_bfloat16(int index) const override {
    constexpr int first_with_bfloat16 = 8;
    return std::stoi(compute_capability(index)) >= first_with_bfloat16;
  }
  void set_device(int index) const override { check_index(index); }
  void synchronize() const override { host_waits_on_purpose("synchronising the device"); }

  std::int64_t free_bytes(int index) const override {
    check_index(index);
    const auto use = memory_use();
    return use.total - use.current;
  }
  std::int64_t total_bytes(int index) const override {
    check_index(index);
    return memory_use().total;
  }
  std::int64_t peak_bytes(int index) const override {
    check_index(index);
    return memory_use().peak;
  }
  void reset_peak(int index) const override {
    check_index(index);
    reset_memory_peak();
  }
  void release_kept_blocks() const override {}  // none are kept

  void forbid_waiting(bool on) const override { pretended::forbid_waiting(on); }
  std::unique_ptr<comm::CapturedWork> capture(const std::function<void()>& work,
                                              int warm_ups) const override {
    return pretended::capture(work, warm_ups);
  }

  std::string nccl_version() const override { return "pretended"; }
  c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                      int size,
                                                      std::chrono::milliseconds timeout) const override {
    return make_store_backend(store, rank, size, timeout);
  }
};

}  // namespace

comm::CudaPlugin& plugin() {
  static Plugin the_plugin;
  return the_plugin;
}

}  // namespace deda::pretended

extern "C" {
const char* deda_cuda_plugin_built_for() {
  static const std::string text =
      fmt::format("interface {}, LibTorch {}", deda::comm::cuda_plugin_interface, TORCH_VERSION);
  return text.c_str();
}
deda::comm::CudaPlugin* deda_cuda_plugin() {
  return &deda::pretended::plugin();
}
}
