// What a Communicator owns and how its operations are run. Internal to src/comm: communicator.cpp holds the
// verbs, agreement.cpp the agreement on errors.
#pragma once

#include <fmt/format.h>
#include <mpi.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "comm/communicator.h"
#include "comm/watched.h"
#include "core/error.h"

namespace deda::comm {

// A rank that fails inside agree() sends an empty message with this tag to all others, so that none waits for
// it.
inline constexpr int failure_notice_tag = 1;

std::string host_name();  // of this process, as MPI names it

struct Communicator::State {
  MPI_Comm comm = MPI_COMM_NULL;  // what the verbs use
  MPI_Comm control =
      MPI_COMM_NULL;  // what agree() uses: sound even where ranks left `comm` at different places
  int rank = 0, size = 1, local_rank = 0, local_size = 1;
  std::string broken;        // why `comm` cannot be used any more; empty while it can
  int agreements = 0;        // how many agree() this rank is inside of
  bool notice_sent = false;  // this rank told the others that it failed; they have not taken the message yet
  // The same on all ranks (communicators are made in the same order everywhere); 0 with one rank. By it a
  // failed rank says where it waits for the others (Wait::meeting).
  std::int64_t number = 0;
  bool of_endings = false;  // its verbs wait for failed ranks too

  explicit State(MPI_Comm original);
  ~State();

  // Starts a nonblocking operation on `buffers` and waits for it. When the wait ends by an error MPI still
  // owns the buffers, so they are left to it for good.
  template <class Buffers, class Start>
  Buffers run(MPI_Comm on, const Wait& wait, Buffers buffers, Start start) {
    if (on == comm && !broken.empty())
      throw CommError(fmt::format("{} is not possible any more: {}", wait.operation, broken));
    auto kept = std::make_unique<Buffers>(std::move(buffers));
    try {
      MPI_Request request = MPI_REQUEST_NULL;
      check_mpi(start(on, *kept, &request), wait.operation);
      wait_watched(request, wait);
    } catch (const std::exception& error) {
      static_cast<void>(kept.release());
      if (broken.empty()) broken = error.what();
      throw;
    }
    return std::move(*kept);
  }

  // The same on `comm`; inside agree() it ends as soon as another rank reports failure.
  template <class Buffers, class Start>
  Buffers collective(std::string_view operation, std::string_view what, Buffers buffers, Start start) {
    return run(comm, wait_for(operation, what), std::move(buffers), start);
  }
  Wait wait_for(std::string_view operation, std::string_view what);

  std::string broadcast(MPI_Comm on, const Wait& wait, std::string text, int root);
};

}  // namespace deda::comm
