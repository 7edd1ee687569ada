// What a Slurm job has, and steps on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "study/launcher.h"

namespace deda::study {

struct AllocatedNode {
  std::string name;
  std::int64_t cores = 0, megabytes = 0, gpus = 0;
};

// From `scontrol -o show job -d JOB`. `expand`: "n[1-2]" to names. Empty where the text does not tell.
std::vector<AllocatedNode> nodes_of_job(
    const std::string& text, const std::function<std::vector<std::string>(const std::string&)>& expand);

struct SlurmOptions {
  std::filesystem::path program;
  std::string mpi = "pmix";  // of srun --mpi; "mpirun": where srun starts no MPI, by mpirun within the step
  std::int64_t threads = 1;
  std::int64_t slots_per_node = 0;  // at most; 0: one per GPU, else one per `threads` cores
  bool cpu_only = false;
  double most_wait_s = 120;  // for a step to begin; then its srun is killed and later steps overlap
};
// Steps of the allocation that this process runs in. ConfigError where there is none, IoError where Slurm
// does not tell what it has.
std::unique_ptr<Launcher> make_slurm_launcher(const SlurmOptions& options);

}  // namespace deda::study
