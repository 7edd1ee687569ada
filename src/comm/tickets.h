// Work tickets: a shared counter that ranks draw from.
// Why: images differ in size; whoever is free takes the next one.
//
// Two ways, chosen for all ranks together:
//   window  MPI one-sided fetch-and-add. Taken where all ranks share one host: the counter is shared memory,
//   so a draw
//           completes although rank 0 computes.
//   served  a thread of rank 0 answers messages. Taken over several hosts, where Open MPI completes one-sided
//   calls only
//           when rank 0 happens to enter MPI, or (TCP with MPI_THREAD_MULTIPLE) has no one-sided calls at
//           all.
// DEDA_TICKETS=window or served overrules the choice.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.h"

namespace deda::comm {

class Tickets {
 public:
  explicit Tickets(const Communicator& ranks);  // collective
  ~Tickets();                                   // collective
  Tickets(const Tickets&) = delete;
  Tickets& operator=(const Tickets&) = delete;
  // Collective: starts a round of `count` tickets; tickets of the round before must all have been drawn.
  void start_round(std::int64_t count);
  // The next ticket of this round in 0..count-1, or -1 when the round is over. Not collective.
  std::int64_t draw();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deda::comm
