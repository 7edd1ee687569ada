// One srun step per item inside an allocation. A step asks for its GPUs, cores and memory itself, in an
// environment without what the job was asked with: otherwise it inherits all GPUs or all memory of its node
// and the next one waits (README.md, "Slurm").
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "study/launcher.h"
#include "study/slurm_allocation.h"

namespace deda::study {
namespace {

double steady_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What a command prints; empty where it fails. Standard error goes nowhere: hints are asked for, not truths.
std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return text;
  char piece[4096];
  for (std::size_t count; (count = std::fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, count);
  ::pclose(pipe);
  return text;
}

// True as soon as the program, or Slurm on its node, has said something. What srun says by itself, as "srun:
// Job step creation temporarily disabled, retrying", tells nothing.
bool has_begun(const std::filesystem::path& log) {
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("srun: ")) return true;
  }
  return false;
}

// "srun: error: Node failure on n2", "srun: error: Unable to create step for job 7: ..."; not how the program
// ended: "srun: error: n2: task 0: Exited with exit code 3".
bool srun_complains_in(const std::filesystem::path& log) {
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("srun: error: ") && line.find(": task") == std::string::npos) return true;
  }
  return false;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

class SlurmLauncher final : public Launcher {
 public:
  explicit SlurmLauncher(const SlurmOptions& options) : options_{options}, job_{variable("SLURM_JOB_ID")} {
    if (job_.empty())
      throw ConfigError("there is no allocation", "--launcher slurm",
                        "Call it in a batch script, or take --launcher local.");
    const std::string job = output_of("scontrol -o show job -d " + job_);
    auto nodes = nodes_of_job(job, [](const std::string& list) {
      std::vector<std::string> names;
      std::istringstream lines(output_of("scontrol show hostnames '" + list + "'"));
      for (std::string name; lines >> name;) names.push_back(name);
      return names;
    });
    if (nodes.empty())
      throw IoError("scontrol does not tell the job's nodes", "job " + job_,
                    "Is scontrol in PATH of the batch script?");
    for (const auto& node : nodes) add_slots(node);
    // The same answer holds the end: the controller need not be asked twice.
    std::smatch end;
    if (std::regex_search(job, end, std::regex(R"( EndTime=(\S+))"))) take_end(end[1].str());
    asked_ = steady_s();
  }

  const std::vector<Slot>& slots() const override { return slots_; }
  std::string name() const override { return "slurm"; }

  int start(const Launch& launch) override {
    // The controller is everybody's: at most five starts a second.
    constexpr double between_starts_s = 0.2;
    const double early = last_start_ + between_starts_s - steady_s();
    if (early > 0) std::this_thread::sleep_for(std::chrono::duration<double>(early));
    last_start_ = steady_s();
    const std::size_t first = launch.slots.front();
    Share share = shares_[first];
    share.overlaps = share.overlaps || steps_hang_;
    const auto count = static_cast<std::int64_t>(launch.slots.size());
    const bool by_mpirun = options_.mpi == "mpirun";
    const std::int64_t tasks = by_mpirun ? 1 : launch.ranks;
    ChildCommand command;
    command.arguments = {
        "srun",
        share.overlaps ? "--overlap" : "--exact",
        "--nodes=1",
        "--nodelist=" + slots_[first].node,
        fmt::format("--ntasks={}", tasks),
        fmt::format("--cpus-per-task={}", std::max<std::int64_t>(1, share.cores * count / tasks))};
    if (share.overlaps || tasks > share.cores * count) command.arguments.emplace_back("--overcommit");
    if (share.overlaps) {
      command.arguments.emplace_back("--mem=0");  // takes none from the others
    } else if (share.megabytes > 0) {
      command.arguments.push_back(fmt::format("--mem={}M", share.megabytes * count));
    }
    if (share.gpu)
      command.arguments.push_back(
          fmt::format("--gres=gpu:{}", share.overlaps ? share.devices_of_node : count));
    command.arguments.insert(command.arguments.end(),
                             {"--kill-on-bad-exit=1", by_mpirun ? "--mpi=none" : "--mpi=" + options_.mpi,
                              "--input=none", "--job-name=" + launch.item});
    if (share.overlaps && share.gpu) {
      std::vector<std::int64_t> devices;
      for (const std::size_t slot : launch.slots) devices.push_back(shares_[slot].device);
      command.arguments.emplace_back("env");
      command.arguments.push_back(fmt::format("CUDA_VISIBLE_DEVICES={}", fmt::join(devices, ",")));
    }
    if (by_mpirun) {
      // Within a step that Slurm does not know as MPI: what it has put into the environment would send mpirun
      // to Slurm for more tasks, and a single rank to a process manager that is not there.
      command.arguments.insert(
          command.arguments.end(),
          {"sh", "-c",
           "unset $(env | sed -n 's/^\\(\\(SLURM\\|PMI\\|PMIX\\|OMPI_COMM\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); "
           "exec \"$@\"",
           "sh"});
      if (launch.ranks > 1)
        command.arguments.insert(command.arguments.end(),
                                 {"mpirun", "-n", std::to_string(launch.ranks), "--bind-to", "none"});
    }
    command.arguments.push_back(options_.program.string());
    command.arguments.insert(command.arguments.end(), launch.arguments.begin(), launch.arguments.end());
    if (!share.gpu && launch.threads > 0) {
      command.arguments.emplace_back("--set");
      command.arguments.push_back(fmt::format("run.threads={}", launch.threads));
    }
    command.unset_prefixes = asked_with();
    command.set["OMP_NUM_THREADS"] = "1";
    if (by_mpirun)
      command.set["OMPI_MCA_rmaps_base_oversubscribe"] = "1";  // a study's ranks may be more than the cores
    command.set["OMPI_MCA_fs_ufs_lock_algorithm"] = "3";
    command.output = launch.log;
    const int process = start_child(command);
    steps_[process] = {launch.item, launch.log, steady_s()};
    return process;
  }

  std::vector<ChildEnd> ended() override {
    kill_what_never_begins();
    std::vector<int> processes;
    for (const auto& [process, step] : steps_) processes.push_back(process);
    auto ended = ended_children(processes);
    for (const auto& end : ended) {
      // srun's code does not tell: it is 0 for a step whose node is gone. What srun says does, and before
      // anything more is started there, Slurm is asked which nodes are left.
      if (srun_complains_in(steps_[end.process].log)) {
        nodes_in_doubt_ = true;
      } else if (end.exit_code != 0 || end.signal != 0) {
        suspicious_ = true;
      }
      steps_.erase(end.process);
    }
    return without_doubtful(std::move(ended));
  }

  // Never TERM: srun then kills at once. A step that has ended already is told of without more delay.
  void ask_to_stop(int handle) override {
    const auto doubtful = std::find_if(doubtful_.begin(), doubtful_.end(),
                                       [&](const Doubtful& each) { return each.end.process == handle; });
    if (doubtful != doubtful_.end())
      doubtful->until = 0;
    else
      ::kill(handle, SIGUSR2);
  }
  bool in_doubt() const override { return !doubtful_.empty(); }
  void kill(int handle) override { ::kill(-handle, SIGKILL); }

  std::optional<double> seconds_left() override {
    ask_when_it_is_time();
    if (end_ <= 0) return std::nullopt;
    return static_cast<double>(end_) - static_cast<double>(std::time(nullptr));
  }

  std::vector<std::string> lost_nodes() override {
    ask_when_it_is_time();
    return lost_;
  }

 private:
  struct Share {
    std::int64_t cores = 1, megabytes = 0;
    bool gpu = false;
    // On nodes with fewer cores than GPUs steps of their own cores would wait for each other: they overlap
    // there, see all GPUs, and are told which one is theirs.
    bool overlaps = false;
    std::int64_t device = 0, devices_of_node = 0;
  };

  // A job that is requeued, preempted or cancelled loses its steps first; the signal to the batch script, and
  // with it to this driver, comes a moment later. Until it has had time to come, a step that looks as if it
  // had been killed has not ended: it would count as a failure of its item, again with each requeue.
  struct Doubtful {
    ChildEnd end;
    double until = 0;
  };
  std::vector<ChildEnd> without_doubtful(std::vector<ChildEnd> ended) {
    constexpr double signal_comes_within_s = 5;
    const double now = steady_s();
    const auto is_clear = [](const ChildEnd& end) {
      const auto is = [&](ExitCode code) { return end.exit_code == static_cast<int>(code); };
      return end.signal == 0 && (is(ExitCode::done) || is(ExitCode::configuration) || is(ExitCode::data) ||
                                 is(ExitCode::stopped) || is(ExitCode::held));
    };
    std::vector<ChildEnd> told;
    for (const auto& end : ended) {
      if (is_clear(end))
        told.push_back(end);
      else
        doubtful_.push_back({end, now + signal_comes_within_s});
    }
    for (auto each = doubtful_.begin(); each != doubtful_.end();) {
      if (each->until > now) {
        ++each;
        continue;
      }
      told.push_back(each->end);
      each = doubtful_.erase(each);
    }
    return told;
  }

  void add_slots(const AllocatedNode& node) {
    const bool gpus = node.gpus > 0 && !options_.cpu_only;
    std::int64_t count =
        gpus ? node.gpus
             : std::max<std::int64_t>(1, node.cores / std::max<std::int64_t>(1, options_.threads));
    if (options_.slots_per_node > 0) count = std::min(count, options_.slots_per_node);
    for (std::int64_t i = 0; i < count; ++i) {
      slots_.push_back(
          {node.name, gpus ? fmt::format("GPU {}", i) : fmt::format("share {} of {}", i + 1, count)});
      shares_.push_back({std::max<std::int64_t>(1, node.cores / count), node.megabytes / count, gpus,
                         node.cores < count, i, node.gpus});
    }
  }

  // srun may wait for ever, and without a word: after the loss of a node Slurm 22.05 takes the cores of the
  // job's ended steps for busy, and no step with cores of its own begins any more. The killed srun counts as
  // lost, and later steps overlap: those begin.
  void kill_what_never_begins() {
    constexpr double look_every_s = 5;
    const double now = steady_s();
    if (now - looked_for_waiting_ < look_every_s) return;
    looked_for_waiting_ = now;
    const auto waits = [&](const Step& step) {
      return !step.begun && now - step.since >= options_.most_wait_s && !has_begun(step.log);
    };
    if (std::none_of(steps_.begin(), steps_.end(), [&](const auto& entry) { return waits(entry.second); }))
      return;
    // The program may just be silent. Steps that run, by their names; the batch script is one of them, so an
    // empty answer is none.
    const std::string running = output_of(fmt::format("squeue -h -s -j {} -o '|%j|'", job_));
    if (running.empty()) return;
    for (auto& [process, step] : steps_) {
      if (!waits(step)) continue;
      step.begun = true;  // or killed: not to be looked at again
      if (running.find('|' + step.item + '|') != std::string::npos) continue;
      std::ofstream(step.log, std::ios::app)
          << fmt::format("the step had not begun after {:.0f} s: its srun is killed\n", now - step.since);
      kill(process);
      steps_hang_ = true;
    }
  }

  // Once a minute, and soon after something ended badly: when the job ends, which `scontrol update TimeLimit`
  // moves without a word to the job, and which nodes it still has.
  void ask_when_it_is_time() {
    constexpr double rarely_s = 60, soon_s = 30, at_once_s = 2;
    if (steady_s() - asked_ > (nodes_in_doubt_ ? at_once_s : suspicious_ ? soon_s : rarely_s)) ask();
  }

  void ask() {
    asked_ = steady_s();
    suspicious_ = nodes_in_doubt_ = false;
    std::istringstream line(output_of(fmt::format("squeue -h -j {} -o '%e %N'", job_)));
    std::string end, list;
    line >> end >> list;
    take_end(end);
    if (list.empty()) return;
    std::istringstream names(output_of("scontrol show hostnames '" + list + "'"));
    std::vector<std::string> alive;
    for (std::string name; names >> name;) alive.push_back(name);
    if (alive.empty()) return;
    for (const auto& slot : slots_) {
      if (std::find(alive.begin(), alive.end(), slot.node) == alive.end() &&
          std::find(lost_.begin(), lost_.end(), slot.node) == lost_.end())
        lost_.push_back(slot.node);
    }
  }

  void take_end(const std::string& text) {
    std::tm time{};
    // Not "N/A" and not nothing: an end that nobody knows is none.
    if (text.size() == 19 && ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time) != nullptr) {
      time.tm_isdst = -1;
      end_ = std::mktime(&time);
    } else if (const auto known = variable("SLURM_JOB_END_TIME"); end_ <= 0 && !known.empty()) {
      end_ = std::atoll(known.c_str());
    }
  }

  // How the job was asked for says nothing about one of its steps.
  static std::vector<std::string> asked_with() {
    return {"SLURM_GPUS",
            "SLURM_NTASKS",
            "SLURM_NPROCS",
            "SLURM_TRES",
            "SLURM_MEM_",
            "SLURM_CPUS_PER",
            "SLURM_NNODES",
            "SLURM_JOB_NUM_NODES",
            "SLURM_TASKS_PER_NODE",
            "SLURM_JOB_GPUS",
            "SLURM_EXACT",
            "SLURM_EXCLUSIVE",
            "SLURM_GRES",
            "SLURM_DISTRIBUTION",
            "SLURM_CPU_BIND",
            "SLURM_THREADS_PER",
            "SRUN_CPUS_PER",
            "PMIX_",
            "PMI_",
            "OMPI_COMM_",
            "OMPI_UNIVERSE",
            "CUDA_VISIBLE_DEVICES"};
  }

  SlurmOptions options_;
  std::string job_;
  std::vector<Slot> slots_;
  std::vector<Share> shares_;
  struct Step {
    std::string item;
    std::filesystem::path log;
    double since = 0;
    bool begun = false;
  };
  std::map<int, Step> steps_;  // by their srun
  std::vector<Doubtful> doubtful_;
  std::vector<std::string> lost_;
  double last_start_ = 0, asked_ = -1e9, looked_for_waiting_ = 0;
  std::time_t end_ = 0;
  bool suspicious_ = false, nodes_in_doubt_ = false, steps_hang_ = false;
};

}  // namespace

std::vector<AllocatedNode> nodes_of_job(
    const std::string& text, const std::function<std::vector<std::string>(const std::string&)>& expand) {
  std::vector<AllocatedNode> nodes;
  // "Nodes=n[1-2] CPU_IDs=0-7 Mem=7200 GRES=gpu:v100:4(IDX:0-3)", once per group of equal nodes.
  static const std::regex group(R"( Nodes=(\S+) CPU_IDs=(\S+) Mem=(\d+) GRES=(\S*))");
  static const std::regex gpus(R"(gpu(?::[^:(,]+)?:(\d+))");
  for (std::sregex_iterator found(text.begin(), text.end(), group), none; found != none; ++found) {
    AllocatedNode node;
    std::istringstream ids((*found)[2].str());
    for (std::string part; std::getline(ids, part, ',');) {
      const auto dash = part.find('-');
      node.cores += dash == std::string::npos
                        ? 1
                        : std::stoll(part.substr(dash + 1)) - std::stoll(part.substr(0, dash)) + 1;
    }
    node.megabytes = std::stoll((*found)[3].str());
    const std::string resources = (*found)[4].str();
    for (std::sregex_iterator each(resources.begin(), resources.end(), gpus); each != none; ++each)
      node.gpus += std::stoll((*each)[1].str());
    for (const auto& name : expand((*found)[1].str())) {
      node.name = name;
      nodes.push_back(node);
    }
  }
  return nodes;
}

std::unique_ptr<Launcher> make_slurm_launcher(const SlurmOptions& options) {
  return std::make_unique<SlurmLauncher>(options);
}

}  // namespace deda::study
