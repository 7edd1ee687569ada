// MPI calls that cannot fail silently and waits that cannot last for ever. Internal to src/comm.
#pragma once

#include <mpi.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace deda::comm {

// Throws CommError with the operation's name and MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, std::string_view operation);

// Sleeps a little longer each time it is called, so that a short wait costs no latency and a long one no
// core.
class BackOff {
 public:
  void pause();

 private:
  int calls_ = 0;
  std::chrono::microseconds sleep_{20};
};

// Names a wait in its error: "rank 2 waited 612 s in broadcast (class names) and gave up: ...".
struct Wait {
  int rank = 0;
  std::string_view operation;                // "barrier", "broadcast", ...
  std::string_view what;                     // what the caller does; may be empty
  std::function<void()> while_waiting = {};  // asked between tests; may throw to end the wait
  // Number of the communicator where this rank waits for ranks that may have failed: those that failed and
  // wait there too do not end the wait. 0: any failed rank does.
  std::int64_t meeting = 0;
};

// "broadcast (class names)".
std::string place_of(const Wait& wait);

// Completes the request by MPI_Test with back-off. Goes on for as long as the heartbeat (heartbeat.h) sees a
// sense in it, and throws what it throws; without a heartbeat, CommError after Communicator::timeout_s()
// seconds. CommError when MPI reports an error. After an error MPI still owns the buffers: the caller must
// not free them.
void wait_watched(MPI_Request& request, const Wait& wait);

// True once some wait of this process gave up: MPI_Finalize and other collective clean-up would then hang.
bool wait_abandoned();
void set_wait_abandoned();

// True between MPI_Init and MPI_Finalize: handles may be freed.
bool mpi_is_running();

}  // namespace deda::comm
