// Threads of a rank that draw tickets until a round is over: the loop that every stage with units of work
// has. Why one: that a failure on one thread ends the round for all ranks, and keeps the error, is easy to
// get wrong.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "comm/tickets.h"

namespace deda::comm {

// A ticket in the hands of the thread that drew it.
struct DrawnTicket {
  std::int64_t number = -1;  // 0..count-1 of the round
  std::size_t thread = 0;    // 0..threads-1; 0 is the calling one. A thread has one ticket at a time
  // Becomes true when another thread of this rank fails: what takes long should save and return.
  const std::atomic<bool>& another_failed;
};

struct TicketWorkers {
  int threads = 1;  // at least one; the calling thread is one of them
  // Called by each thread before its first draw, for settings that are a thread's own.
  std::function<void()> begin_thread = {};
  // Asked by each thread before every draw: true ends this rank's work on the round.
  std::function<bool()> stop = {};
};

// Calls `work` for every ticket that this rank draws in the round that was started, in any order and on
// several threads at once. False when `stop` ended it before it saw the round's end. After an exception on
// one thread, of whatever type, no further ticket is worked on; the first is rethrown when all threads have
// ended. Both ways the tickets that are left are drawn and dropped, so that the round ends for the other
// ranks too. Not collective: each rank throws its own failure, Communicator::agree() around the call makes it
// everyone's.
bool work_on_tickets(Tickets& tickets, const TicketWorkers& workers,
                     const std::function<void(const DrawnTicket&)>& work);

}  // namespace deda::comm
