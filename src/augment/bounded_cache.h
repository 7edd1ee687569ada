// A cache of made things by number, bounded in bytes and shared by threads: first come, first kept. What does
// not fit is made anew each time, so memory is bounded by configuration and results never depend on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace deda::augment {

// The bytes that several caches share.
class CacheBudget {
 public:
  explicit CacheBudget(std::int64_t bytes) : left_{bytes} {}
  bool take(std::int64_t bytes) {
    std::int64_t left = left_.load(std::memory_order_relaxed);
    while (left >= bytes) {
      if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void give_back(std::int64_t bytes) { left_.fetch_add(bytes, std::memory_order_relaxed); }
  std::int64_t left() const { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> left_;
};

template <class Thing>
class BoundedCache {
 public:
  BoundedCache(std::size_t slots, std::shared_ptr<CacheBudget> budget)
      : slots_(slots), budget_{std::move(budget)} {}
  // The kept thing, or make()'s result, which is kept if `bytes_of(thing)` still fit. make() runs outside of
  // any lock.
  template <class Make, class BytesOf>
  std::shared_ptr<const Thing> get(std::size_t slot, Make&& make, BytesOf&& bytes_of) {
    {
      const std::lock_guard lock{mutex_};
      if (slots_[slot]) return slots_[slot];
    }
    auto made = std::make_shared<const Thing>(make());
    const auto bytes = static_cast<std::int64_t>(bytes_of(*made));
    if (!budget_->take(bytes)) return made;
    const std::lock_guard lock{mutex_};
    if (slots_[slot]) {  // another thread was first
      budget_->give_back(bytes);
      return slots_[slot];
    }
    slots_[slot] = made;
    return made;
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<const Thing>> slots_;
  std::shared_ptr<CacheBudget> budget_;
};

}  // namespace deda::augment
