#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "core/error.h"
#include "core/escaped_name.h"
#include "study/launcher.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;

std::vector<int> own_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

class LocalLauncher final : public Launcher {
 public:
  explicit LocalLauncher(const LocalOptions& options) : options_{options}, cores_{own_cores()} {
    gpus_ = options.cpu_only       ? std::vector<std::string>{}
            : options.gpus.empty() ? visible_gpus()
                                   : options.gpus;
    std::size_t count = static_cast<std::size_t>(options.slots);
    const std::size_t threads = static_cast<std::size_t>(std::max<std::int64_t>(1, options.threads));
    if (count == 0) count = gpus_.empty() ? std::max<std::size_t>(1, cores_.size() / threads) : gpus_.size();
    if (!gpus_.empty() && count > gpus_.size())
      throw ConfigError(fmt::format("{} slots are asked for, and there are {} GPUs", count, gpus_.size()),
                        "--slots", "One run per GPU.");
    for (std::size_t i = 0; i < count; ++i) {
      const auto cores = cores_of(i, count);
      std::string device = gpus_.empty() ? std::string{} : "GPU " + gpus_[i];
      if (gpus_.empty())
        device = cores.empty()       ? "all cores"
                 : cores.size() == 1 ? fmt::format("core {}", cores.front())
                                     : fmt::format("cores {}-{}", cores.front(), cores.back());
      slots_.push_back({"", device});
    }
  }

  const std::vector<Slot>& slots() const override { return slots_; }
  std::string name() const override { return "local"; }

  int start(const Launch& launch) override {
    ChildCommand command;
    if (launch.ranks > 1) {
      command.arguments = {options_.mpirun, "-n", std::to_string(launch.ranks)};
      command.set["OMPI_MCA_rmaps_base_oversubscribe"] = "1";
      command.set["OMPI_MCA_hwloc_base_binding_policy"] = "none";
      if (::getuid() == 0) {
        command.set["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
        command.set["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
      }
    }
    command.arguments.push_back(options_.program.string());
    command.arguments.insert(command.arguments.end(), launch.arguments.begin(), launch.arguments.end());
    // On a CPU a training's sums may follow the number of threads: it is the study's, whatever the machine
    // has.
    if (gpus_.empty() && launch.threads > 0) {
      command.arguments.emplace_back("--set");
      command.arguments.push_back(fmt::format("run.threads={}", launch.threads));
    }
    // What this process has from a launcher of its own would make the child believe it were a rank of it.
    command.unset_prefixes = {"SLURM_", "PMIX_", "PMI_", "OMPI_COMM_", "OMPI_UNIVERSE", "PRTE_"};
    command.set["OMP_NUM_THREADS"] = "1";
    command.set["OMPI_MCA_fs_ufs_lock_algorithm"] = "3";
    std::string devices;
    for (const std::size_t slot : launch.slots) {
      for (const int core : cores_of(slot, slots_.size())) command.cores.push_back(core);
      if (!gpus_.empty()) devices += (devices.empty() ? "" : ",") + gpus_[slot];
    }
    std::sort(command.cores.begin(), command.cores.end());
    command.cores.erase(std::unique(command.cores.begin(), command.cores.end()), command.cores.end());
    if (!gpus_.empty()) command.set["CUDA_VISIBLE_DEVICES"] = devices;
    command.output = launch.log;
    const int process = start_child(command);
    running_.push_back(process);
    return process;
  }

  std::vector<ChildEnd> ended() override {
    const auto ended = ended_children(running_);
    for (const auto& end : ended) std::erase(running_, end.process);
    return ended;
  }

  void ask_to_stop(int handle) override { ::kill(handle, SIGUSR2); }
  void kill(int handle) override { ::kill(-handle, SIGKILL); }
  std::optional<double> seconds_left() override { return std::nullopt; }

 private:
  // Neighbouring cores; slots share where there are more of them than cores.
  std::vector<int> cores_of(std::size_t slot, std::size_t count) const {
    if (cores_.empty()) return {};
    const std::size_t each = std::max<std::size_t>(1, cores_.size() / count);
    std::vector<int> cores;
    for (std::size_t i = 0; i < each; ++i) cores.push_back(cores_[(slot * each + i) % cores_.size()]);
    std::sort(cores.begin(), cores.end());
    return cores;
  }

  LocalOptions options_;
  std::vector<int> cores_;
  std::vector<std::string> gpus_;
  std::vector<Slot> slots_;
  std::vector<int> running_;
};

}  // namespace

std::unique_ptr<Launcher> make_local_launcher(const LocalOptions& options) {
  return std::make_unique<LocalLauncher>(options);
}

std::vector<std::string> visible_gpus() {
  std::vector<std::string> gpus;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::string name;
    for (const char c : std::string{visible} + ',') {
      if (c != ',') {
        name += c;
      } else {
        if (!name.empty() && name != "-1" && name != "NoDevFiles") gpus.push_back(name);
        name.clear();
      }
    }
    return gpus;
  }
  // nvidia0, nvidia1, ... ; nvidiactl and nvidia-uvm are no GPUs.
  std::error_code error;
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/dev", error)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view prefix = "nvidia";
    if (name.starts_with(prefix) && name.size() > prefix.size() &&
        std::all_of(name.begin() + prefix.size(), name.end(),
                    [](unsigned char c) { return std::isdigit(c) != 0; }))
      ++count;
  }
  for (std::size_t i = 0; i < count; ++i) gpus.push_back(std::to_string(i));
  return gpus;
}

}  // namespace deda::study
