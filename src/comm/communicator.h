// Ranks that work together: a thin owner of a duplicated MPI communicator, with the few verbs that the stages
// use. Why: our messages never meet somebody else's, sizes never overflow int, every wait is watched, and the
// same code runs as rank 0 of 1 without a launcher. Used by io, stages and jobs; mpi.h itself stays inside
// src/comm and src/io's .cpp.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deda::comm {

class Heartbeat;

// Owns MPI_Init_thread(MPI_THREAD_MULTIPLE) and MPI_Finalize; one per process, made in jobs/main and in the
// test main. Works without a launcher (singleton). Sets the cure for the Open MPI 4.1 collective-write fault
// (OMPI_MCA_fs_ufs_lock_algorithm=3, ompi issue 12718) in the environment before MPI_Init, unless the user
// set it.
class MpiEnvironment {
 public:
  MpiEnvironment(int& argc, char**& argv);
  ~MpiEnvironment();
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
  bool thread_multiple() const { return thread_multiple_; }
  // The ranks tell each other that they live, so that a wait for a slow rank does not end (heartbeat.h).
  // False with one rank, and where MPI may not be called by several threads.
  bool has_heartbeat() const { return heartbeat_ != nullptr; }
  static std::string library_version();

 private:
  bool thread_multiple_ = false;
  std::unique_ptr<Heartbeat> heartbeat_;
};

enum class Reduction { sum, minimum, maximum };

class Communicator {
 public:
  static Communicator world();  // duplicate of MPI_COMM_WORLD; asked for only in jobs/
  static Communicator self();   // this rank alone
  // As world(), for the place where all ranks meet when their work is over, by an error or not: a rank that
  // announced its failure and waits there too ends no wait there.
  static Communicator endings();
  Communicator duplicate() const;  // same ranks, messages of its own; collective
  int rank() const;
  int size() const;
  bool is_root() const { return rank() == 0; }
  // Rank and size among the ranks of this host (shared memory), for device and core maps.
  int local_rank() const;
  int local_size() const;
  std::vector<std::string> host_names() const;  // one per rank; collective

  // Collectives: every rank calls them in the same order. A wait lasts as long as the others work, however
  // slowly. Each throws CommError naming the operation and the rank when one was not heard, or neither worked
  // nor waited, for `timeout_s()` seconds, or when all ranks wait for each other so long; PeerFailure
  // (peer_failure.h) when another rank's work failed. So nothing waits for ever.
  void barrier(std::string_view what) const;
  std::string broadcast(std::string text, int root = 0) const;
  std::vector<std::int64_t> all_reduce(std::vector<std::int64_t> values, Reduction reduction) const;
  std::vector<double> all_reduce(std::vector<double> values, Reduction reduction) const;
  std::int64_t all_reduce(std::int64_t value, Reduction reduction) const;
  std::int64_t exclusive_scan_sum(std::int64_t value) const;  // rank 0 gets 0
  std::vector<std::vector<std::uint8_t>> gather(std::span<const std::uint8_t> bytes,
                                                int root = 0) const;  // empty elsewhere
  std::vector<std::vector<std::uint8_t>> all_gather(std::span<const std::uint8_t> bytes) const;
  std::vector<std::string> all_gather(const std::string& text) const;

  // Runs `work` on this rank and then agrees: if it threw on any rank, every rank throws. The throwing rank
  // rethrows its own error; the others throw the same kind with "rank r: ..." of the lowest failing rank. No
  // rank is left waiting: a rank that waits in one of this communicator's collectives inside `work` is woken.
  // After that the communicator's other verbs throw CommError (ranks left it at different places); agree()
  // itself stays usable. May be nested.
  void agree(std::string_view what, const std::function<void()>& work) const;
  // True on all ranks if true on any (stop flags, deadlines).
  bool any(bool value) const;

  // Tells the other ranks that this one's work ended by `error` and that it waits for them on this
  // communicator: their waits elsewhere end by PeerFailure with the beginning of its message. Not collective.
  void announce_failure(const std::exception_ptr& error) const;

  // The underlying MPI_Comm as an opaque pointer-sized value, for src/comm and src/io (comm/mpi_handle.h
  // unwraps it).
  void* native() const;
  static double timeout_s();                      // DEDA_TIMEOUT_S, default 600
  [[noreturn]] static void abort(int exit_code);  // flush and MPI_Abort; ends all ranks

  struct State;  // for src/comm only (communicator_state.h)
  State& state() const { return *state_; }

 private:
  explicit Communicator(std::shared_ptr<State> state) : state_{std::move(state)} {}
  std::shared_ptr<State> state_;
};

}  // namespace deda::comm
