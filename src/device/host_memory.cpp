#include "device/host_memory.h"

#include <ATen/ops/empty.h>

#include <mutex>
#include <unordered_map>

namespace deda::device {
namespace {

class PinnedMemory final : public std::pmr::memory_resource {
 private:
  // LibTorch's blocks begin at pages: more than any alignment that is asked for.
  void* do_allocate(std::size_t bytes, std::size_t) override {
    auto block =
        at::empty({static_cast<std::int64_t>(bytes)}, at::TensorOptions(at::kByte).pinned_memory(true));
    void* const start = block.mutable_data_ptr();
    const std::lock_guard lock{mutex_};
    blocks_.emplace(start, std::move(block));
    return start;
  }
  void do_deallocate(void* start, std::size_t, std::size_t) override {
    const std::lock_guard lock{mutex_};
    blocks_.erase(start);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::mutex mutex_;
  std::unordered_map<void*, at::Tensor> blocks_;
};

}  // namespace

std::pmr::memory_resource* host_memory_for(c10::Device device) {
  if (device.is_cpu()) return std::pmr::get_default_resource();
  static auto* const pinned =
      new PinnedMemory;  // never destroyed: CUDA may be gone before static objects are
  return pinned;
}

}  // namespace deda::device
