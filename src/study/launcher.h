// Where items run: how many slots there are, and how an item is started on some of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "study/child_process.h"

namespace deda::study {

// One GPU, or the cores of one run.
struct Slot {
  std::string node;    // empty: this machine
  std::string device;  // "GPU 0", "cores 0-1": for people and the ledger
};

struct Launch {
  std::string item;                     // its name
  std::vector<std::string> arguments;   // of `deda`
  std::vector<std::size_t> slots;       // all on nodes that can work together
  std::int64_t ranks = 1, threads = 1;  // threads of a rank; 0: its share of what the slots have
  std::filesystem::path log;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual const std::vector<Slot>& slots() const = 0;
  virtual std::string name() const = 0;  // "local", "slurm"
  // A handle; IoError when it cannot be started.
  virtual int start(const Launch& launch) = 0;
  virtual std::vector<ChildEnd> ended() = 0;  // process: the handle
  virtual void ask_to_stop(int handle) = 0;   // USR2: a checkpoint, then exit code 75
  virtual void kill(int handle) = 0;
  // Whether something has just ended as if the allocation were being taken away: nothing should be started
  // before that is known.
  virtual bool in_doubt() const { return false; }
  // Until the allocation ends, less nothing; no value: not limited, or not known.
  virtual std::optional<double> seconds_left() = 0;
  // Nodes that were lost since the start; slots on them are not used any more.
  virtual std::vector<std::string> lost_nodes() { return {}; }
};

struct LocalOptions {
  std::filesystem::path program;  // `deda`
  std::int64_t slots = 0;         // 0: one per GPU, else one per `threads` cores
  std::vector<std::string> gpus;  // as CUDA_VISIBLE_DEVICES names them; empty: those that are visible
  bool cpu_only = false;
  std::int64_t threads = 1;
  std::string mpirun = "mpirun";
};
// Processes of this machine; several ranks by mpirun.
std::unique_ptr<Launcher> make_local_launcher(const LocalOptions& options);

// GPUs of this machine that CUDA_VISIBLE_DEVICES lets through, by its names.
std::vector<std::string> visible_gpus();

}  // namespace deda::study
