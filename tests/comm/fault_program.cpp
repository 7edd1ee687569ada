// A job that goes wrong, or is only slow, in the way its first argument names. Run by faults_test.cpp under
// mpirun. Times are multiples of DEDA_TIMEOUT_S.
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "comm/communicator.h"
#include "comm/tickets.h"
#include "core/error.h"
#include "core/log.h"

namespace {

using deda::comm::Communicator;
using Clock = std::chrono::steady_clock;

constexpr int wrong_use = 90;
constexpr int wrong_result = 91;
constexpr int gave_up = 7;

void sleep_s(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

bool last(const Communicator& world) {
  return world.rank() == world.size() - 1;
}

// Uses `share` of a core.
void compute(double seconds, double share = 1.0) {
  constexpr double piece_s = 0.01;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    const auto piece_end = Clock::now() + std::chrono::duration<double>(piece_s);
    while (Clock::now() < piece_end) {
    }
    if (share < 1.0) sleep_s(piece_s * (1 - share) / share);
  }
}

// What an undisturbed job computes.
int finish(const Communicator& world) {
  const int size = world.size();
  if (world.all_reduce(world.rank() + 1, deda::comm::Reduction::sum) != size * (size + 1) / 2)
    return wrong_result;
  if (world.is_root()) std::fprintf(stderr, "FINISHED\n");
  return 0;
}

std::vector<pid_t> processes(const Communicator& world) {
  std::vector<pid_t> ids;
  for (const std::string& id : world.all_gather(std::to_string(getpid()))) ids.push_back(std::stoi(id));
  return ids;
}

// The last rank stays away from a barrier.
int stay_away(const Communicator& world) {
  if (last(world)) sleep(600);
  world.barrier("end of the epoch");
  return 0;
}

// The last rank dies without a word.
int die(const Communicator& world) {
  if (last(world)) raise(SIGKILL);
  world.barrier("after the death");
  return 0;
}

// Rank 0 throws what nobody agreed upon, while the others wait for it; its main does what jobs do: report and
// abort.
int throw_on_one_rank(const Communicator& world) {
  try {
    if (world.is_root()) throw std::runtime_error("only here");
    world.barrier("never complete");
  } catch (const std::runtime_error& error) {
    std::fprintf(stderr, "CAUGHT %s\n", error.what());
    Communicator::abort(3);
  }
  return 0;
}

int slow(const Communicator& world, int rank, double share) {
  if (world.rank() == rank) compute(3 * Communicator::timeout_s(), share);
  world.barrier("end of the unit");
  return finish(world);
}

// The last rank works on a unit while the others find no ticket left.
int slow_unit(const Communicator& world) {
  deda::comm::Tickets tickets(world);
  tickets.start_round(world.size());
  world.agree("a round", [&] {
    while (true) {
      const auto ticket = tickets.draw();
      if (ticket < 0) return;
      if (ticket == world.size() - 1) compute(3 * Communicator::timeout_s());
    }
  });
  return finish(world);
}

// Every rank computes, while a thread of it waits for the next rank's.
int wait_beside_work(const Communicator& world) {
  const Communicator other = world.duplicate();
  std::thread waiting([&] {
    if (last(other)) sleep_s(3 * Communicator::timeout_s());
    other.barrier("beside the work");
  });
  compute(3 * Communicator::timeout_s(), 0.2);
  waiting.join();
  return finish(world);
}

// A rank is stopped for `limits` times the limit; the others wait for it in a barrier.
int stopped(const Communicator& world, int rank, double limits) {
  const auto ids = processes(world);
  if (world.rank() == rank) raise(SIGSTOP);
  if (world.rank() == (rank + 1) % world.size())
    std::thread([id = ids[static_cast<std::size_t>(rank)], limits] {
      sleep_s(limits * Communicator::timeout_s());
      kill(id, SIGCONT);
    }).detach();  // the job may end before
  world.barrier("nobody is stopped");
  return finish(world);
}

// A rank is stopped for longer than the limit, but nobody waits for it meanwhile.
int stopped_unnoticed(const Communicator& world) {
  const auto ids = processes(world);
  if (last(world)) raise(SIGSTOP);
  const double limit_s = Communicator::timeout_s();
  if (world.is_root()) {
    compute(2 * limit_s, 0.3);
    kill(ids.back(), SIGCONT);
    compute(limit_s, 0.3);
  } else if (!last(world)) {
    compute(3 * limit_s, 0.3);
  }
  world.barrier("all are awake");
  return finish(world);
}

// Two collectives on two communicators, in a different order.
int deadlock(const Communicator& world) {
  const Communicator other = world.duplicate();
  if (world.is_root()) {
    world.barrier("first this");
    other.barrier("then that");
  } else {
    other.barrier("first that");
    world.barrier("then this");
  }
  return 0;
}

// Rank 1 has nothing to do any more; the others wait for it for ever.
int leave_early(const Communicator& world) {
  if (last(world)) return 0;
  world.barrier("without the last rank");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  deda::comm::MpiEnvironment mpi(argc, argv);
  const auto world = Communicator::world();
  deda::set_up_log(world.rank(), world.size());
  const std::map<std::string_view, std::function<int()>> faults{
      {"stay-away", [&] { return stay_away(world); }},
      {"die", [&] { return die(world); }},
      {"throw-on-one-rank", [&] { return throw_on_one_rank(world); }},
      {"slow", [&] { return slow(world, world.size() - 1, 1.0); }},
      {"slow-zero", [&] { return slow(world, 0, 1.0); }},
      {"slow-mostly-sleeping", [&] { return slow(world, world.size() - 1, 0.1); }},
      {"slow-unit", [&] { return slow_unit(world); }},
      {"wait-beside-work", [&] { return wait_beside_work(world); }},
      {"stopped-short", [&] { return stopped(world, world.size() - 1, 0.5); }},
      {"stopped-short-zero", [&] { return stopped(world, 0, 0.5); }},
      {"stopped-long", [&] { return stopped(world, world.size() - 1, 100); }},
      {"stopped-long-zero", [&] { return stopped(world, 0, 100); }},
      {"stopped-unnoticed", [&] { return stopped_unnoticed(world); }},
      {"deadlock", [&] { return deadlock(world); }},
      {"leave-early", [&] { return leave_early(world); }}};
  const auto fault = faults.find(argc > 1 ? argv[1] : "");
  if (fault == faults.end()) return wrong_use;
  try {
    return fault->second();
  } catch (const deda::Error& error) {
    std::fprintf(stderr, "CAUGHT %s\n", error.what());
    Communicator::abort(gave_up);
  }
}
