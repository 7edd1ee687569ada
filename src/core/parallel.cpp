#include "core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <vector>

namespace deda {

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void parallel_for(int threads, std::size_t first, std::size_t end, std::size_t step,
                  const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{first};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  const auto draw = [&] {
    try {
      for (std::size_t i = next.fetch_add(step); i < end && !failed; i = next.fetch_add(step)) work(i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(draw);
  draw();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace deda
