// Work tickets: a shared counter that ranks draw from by MPI one-sided fetch-and-add.
// Why: images differ in size; whoever is free takes the next one, and no rank has to serve the others.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.h"

namespace deda::comm {

class Tickets {
 public:
  explicit Tickets(const Communicator& ranks);   // collective
  ~Tickets();                                    // collective
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
