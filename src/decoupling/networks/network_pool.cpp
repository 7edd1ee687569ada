#include "decoupling/networks/network_pool.h"

#include <ATen/Parallel.h>

namespace deda::decoupling {

NetworkSeats::Seat::Seat(NetworkSeats& seats) : seats_{seats} {
  thread_local const bool single_threaded = [] {
    at::set_num_threads(1);  // OpenMP's setting is the calling thread's own
    return true;
  }();
  (void)single_threaded;
  if (!seats_.limited_) return;
  std::unique_lock lock{seats_.mutex_};
  seats_.freed_.wait(lock, [&] { return seats_.free_ > 0; });
  --seats_.free_;
}

NetworkSeats::Seat::~Seat() {
  if (!seats_.limited_) return;
  {
    const std::lock_guard lock{seats_.mutex_};
    ++seats_.free_;
  }
  seats_.freed_.notify_one();
}

}  // namespace deda::decoupling
