// Networks by folder: loaded once per process, shared by the sources that use them, entered by a limited
// number of threads at a time.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "decoupling/config.h"

namespace deda::decoupling {

// Where networks run and how many threads may be inside one.
struct NetworkPlace {
  c10::Device device = c10::kCPU;
  c10::ScalarType dtype = c10::kFloat;
  std::int64_t at_once = 0;  // 0: no limit
};

// A seat in the networks: while one lives, the thread may run them. On CPUs torch is single-threaded in it,
// so that results do not depend on the number of threads.
class NetworkSeats {
 public:
  explicit NetworkSeats(std::int64_t seats) : free_{seats}, limited_{seats > 0} {}
  class Seat {
   public:
    explicit Seat(NetworkSeats& seats);
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

   private:
    NetworkSeats& seats_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  std::int64_t free_;
  bool limited_;
};

// One per registration; makes networks on demand and forgets them when the last source is gone.
class NetworkPool {
 public:
  explicit NetworkPool(const NetworkPlace& networks) : place{networks}, seats{networks.at_once} {}
  // The network of that folder, made by `make` unless a source holds it already.
  template <class Network>
  std::shared_ptr<const Network> get(const std::filesystem::path& folder,
                                     const std::function<std::shared_ptr<const Network>()>& make) {
    const std::lock_guard lock{mutex_};
    auto& known = networks_[folder.string()];
    if (const auto alive = std::static_pointer_cast<const Network>(known.lock())) return alive;
    const auto made = make();
    known = made;
    return made;
  }
  const NetworkPlace place;
  NetworkSeats seats;

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<const void>> networks_;
};

}  // namespace deda::decoupling
