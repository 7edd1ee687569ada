// How much memory lies in tensors on the CPU, and the most that did.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace deda::test {

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    auto data = inner->allocate(bytes);
    void* const address = data.get();
    if (address == nullptr) return data;
    const std::lock_guard lock{mutex};
    now += static_cast<std::int64_t>(bytes);
    most = std::max(most, now);
    kept.emplace(address, Kept{std::move(data), bytes});
    return {address, address, &forget, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &forget; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
  // From now on in this process: LibTorch has no way to take an allocator out again.
  static void install() {
    constexpr std::uint8_t priority = 100;  // higher than any that is set already
    static auto& counting = *new CountingAllocator(c10::GetCPUAllocator());
    c10::SetCPUAllocator(&counting, priority);
  }
  // Bytes now, which become the most so far.
  static std::int64_t restart() {
    const std::lock_guard lock{mutex};
    return most = now;
  }
  static std::int64_t most_so_far() {
    const std::lock_guard lock{mutex};
    return most;
  }

 private:
  explicit CountingAllocator(c10::Allocator* inner_allocator) { inner = inner_allocator; }
  struct Kept {
    c10::DataPtr data;
    std::size_t bytes;
  };
  static void forget(void* address) {
    const std::lock_guard lock{mutex};
    const auto found = kept.find(address);
    if (found == kept.end()) {  // from before this allocator was there
      inner->raw_deallocate(address);
      return;
    }
    now -= static_cast<std::int64_t>(found->second.bytes);
    kept.erase(found);
  }
  inline static std::mutex mutex;
  inline static std::int64_t now = 0, most = 0;
  inline static auto& kept = *new std::unordered_map<void*, Kept>;  // outlives all tensors
  inline static c10::Allocator* inner = nullptr;
};

}  // namespace deda::test
