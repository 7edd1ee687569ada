// The heartbeat of a rank: a thread that tells rank 0 every few seconds what this process does, and hears
// from it whether waiting for the others still makes sense. Internal to src/comm.
//
// Why a thread and a judge: a rank that waits sees only that nothing comes. Whether the other computes for
// hours or is dead, only the other can say; and all ranks should give up with the same reason. Messages: one
// of fixed size from each rank to rank 0 and back per beat, on a communicator of its own. Nothing here
// blocks.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <exception>
#include <memory>

#include "comm/watched.h"

namespace deda::comm {

class Heartbeat {
 public:
  // Collective. Null on all ranks with one rank, without MPI_THREAD_MULTIPLE, or where DEDA_HEARTBEAT is
  // "off" on one: waits then end after Communicator::timeout_s() whatever the others do.
  static std::unique_ptr<Heartbeat> start(MPI_Comm world);
  // Ends without the others, if leave() has not been called.
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // The one of this process, or null.
  static Heartbeat* running();

  // Asked again and again by a wait that has lasted `waited_s`. Throws when it is hopeless: PeerFailure when
  // another rank's work failed (not for a wait at the place where the failed rank waits too, wait.meeting);
  // CommError when a rank is not heard or stuck, or all wait for each other.
  void end_hopeless_wait(const Wait& wait, double waited_s);

  // Tells all ranks that this one's work ended by `error`, and that it waits for them at `meeting` (the
  // number of a communicator). `for_good`: nothing can recover from it. The latest stands until it is
  // withdrawn.
  void announce_failure(std::int64_t meeting, bool for_good, const std::exception_ptr& error);
  void withdraw_failure(std::int64_t meeting);

  // Collective, at a good end: returns when all ranks have come, so that MPI can be left. False when one will
  // not come.
  bool leave();

 private:
  struct State;
  explicit Heartbeat(MPI_Comm world);
  std::unique_ptr<State> state_;
};

}  // namespace deda::comm
