#include "pretended_device/memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "pretended_device/pretended_device.h"

namespace deda::pretended {

namespace {

constexpr std::int64_t default_megabytes = 16384;

std::int64_t total_bytes() {
  static const std::int64_t total = [] {
    const char* text = std::getenv("DEDA_PRETENDED_MEMORY_MB");
    const std::int64_t megabytes = text == nullptr ? default_megabytes : std::stoll(text);
    TORCH_CHECK(megabytes > 0, "DEDA_PRETENDED_MEMORY_MB must be positive, but is ", text);
    return megabytes << 20;
  }();
  return total;
}

struct Use {
  std::mutex mutex;
  std::int64_t current = 0, peak = 0;
};

// Never destroyed: tensors of static objects are freed late.
Use& use() {
  static auto* const the_use = new Use;
  return *the_use;
}

void take(std::int64_t bytes) {
  const std::lock_guard lock(use().mutex);
  TORCH_CHECK_WITH(OutOfMemoryError, use().current + bytes <= total_bytes(),
                   "pretended device out of memory: tried to allocate ", bytes, " bytes; ", use().current,
                   " of ", total_bytes(), " are in use");
  use().current += bytes;
  use().peak = std::max(use().peak, use().current);
}

void give_back(std::int64_t bytes) {
  const std::lock_guard lock(use().mutex);
  use().current -= bytes;
}

// Memory of the device. Shared by the tensors that live there and by the host's views of it.
class Block {
 public:
  explicit Block(c10::Storage host)
      : host_{std::move(host)}, bytes_{static_cast<std::int64_t>(host_.nbytes())} {
    take(bytes_);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { give_back(bytes_); }

  void* data() const { return host_.mutable_data(); }
  void retain() { ++references_; }
  static void release(void* block) {
    auto* self = static_cast<Block*>(block);
    if (--self->references_ == 0) delete self;
  }

 private:
  c10::Storage host_;
  std::int64_t bytes_;
  std::atomic<int> references_{1};
};

class DeviceAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, device};
    // Before the host is asked: more than the device has may be more than the machine has.
    take(static_cast<std::int64_t>(bytes));
    give_back(static_cast<std::int64_t>(bytes));
    return adopt(c10::Storage(c10::Storage::use_byte_size_t{}, bytes, c10::GetCPUAllocator()->allocate(bytes),
                              nullptr, /*resizable=*/false));
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

// Where pinned memory begins, and its bytes.
struct Pinned {
  std::mutex mutex;
  std::map<const char*, std::size_t> ranges;
};
Pinned& pinned() {
  static auto* const the_pinned = new Pinned;
  return *the_pinned;
}

void forget_pinned(void* context) {
  const std::unique_ptr<c10::DataPtr> memory(static_cast<c10::DataPtr*>(context));
  const std::lock_guard lock(pinned().mutex);
  pinned().ranges.erase(static_cast<const char*>(memory->get()));
}

class PinnedAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    auto memory = std::make_unique<c10::DataPtr>(c10::GetCPUAllocator()->allocate(bytes));
    void* const data = memory->get();
    if (data == nullptr) return {nullptr, c10::Device(c10::kCPU)};
    {
      const std::lock_guard lock(pinned().mutex);
      pinned().ranges[static_cast<const char*>(data)] = bytes;
    }
    return {data, memory.release(), &forget_pinned, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

MemoryUse memory_use() {
  const std::lock_guard lock(use().mutex);
  return {use().current, use().peak, total_bytes()};
}

void reset_memory_peak() {
  const std::lock_guard lock(use().mutex);
  use().peak = use().current;
}

c10::Allocator& device_allocator() {
  static DeviceAllocator allocator;
  return allocator;
}

c10::Allocator& pinned_allocator() {
  static PinnedAllocator allocator;
  return allocator;
}

bool is_pinned(const void* pointer) {
  const auto* const byte = static_cast<const char*>(pointer);
  const std::lock_guard lock(pinned().mutex);
  auto after = pinned().ranges.upper_bound(byte);
  if (after == pinned().ranges.begin()) return false;
  const auto& [begin, bytes] = *--after;
  return byte < begin + bytes;
}

c10::DataPtr adopt(c10::Storage host) {
  if (host.nbytes() == 0) return {nullptr, device};
  auto block = std::make_unique<Block>(std::move(host));
  void* const data = block->data();
  return {data, block.release(), &Block::release, device};
}

void resize_storage(const c10::Storage& storage, std::size_t bytes) {
  auto memory = device_allocator().allocate(bytes);
  if (const auto kept = std::min(bytes, storage.nbytes()); kept > 0)
    std::memcpy(memory.get(), storage.data(), kept);
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(memory));
  storage.unsafeGetStorageImpl()->set_nbytes(bytes);
}

c10::DataPtr host_view(const c10::DataPtr& device_memory) {
  if (device_memory.get() == nullptr) return {nullptr, c10::Device(c10::kCPU)};
  TORCH_CHECK(device_memory.get_deleter() == &Block::release,
              "this memory was not allocated by the pretended device");
  auto* const block = static_cast<Block*>(device_memory.get_context());
  block->retain();
  return {device_memory.get(), block, &Block::release, c10::Device(c10::kCPU)};
}

REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &device_allocator())

}  // namespace deda::pretended
