// A job that goes wrong in the way its first argument names. Run by faults_test.cpp under mpirun.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string_view>

#include "comm/communicator.h"
#include "core/error.h"

namespace {

constexpr int wrong_use = 90;

// The last rank stays away from a barrier.
int stay_away(const deda::comm::Communicator& world) {
  if (world.rank() == world.size() - 1) {
    sleep(600);
    return 0;
  }
  try {
    world.barrier("end of the epoch");
  } catch (const deda::CommError& error) {
    std::fprintf(stderr, "CAUGHT %s\n", error.what());
    deda::comm::Communicator::abort(7);
  }
  return 0;
}

// The last rank dies without a word.
int die(const deda::comm::Communicator& world) {
  if (world.rank() == world.size() - 1) raise(SIGKILL);
  world.barrier("after the death");
  return 0;
}

// Rank 0 throws what nobody agreed upon, while the others wait for it; its main does what jobs do: report and
// abort.
int throw_on_one_rank(const deda::comm::Communicator& world) {
  try {
    if (world.is_root()) throw std::runtime_error("only here");
    world.barrier("never complete");
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "CAUGHT %s\n", error.what());
    deda::comm::Communicator::abort(3);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  deda::comm::MpiEnvironment mpi(argc, argv);
  const auto world = deda::comm::Communicator::world();
  const std::string_view fault = argc > 1 ? argv[1] : "";
  if (fault == "stay-away") return stay_away(world);
  if (fault == "die") return die(world);
  if (fault == "throw-on-one-rank") return throw_on_one_rank(world);
  return wrong_use;
}
