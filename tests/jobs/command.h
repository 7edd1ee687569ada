// Runs a command line and keeps what it printed and how it ended.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::test {

struct CommandResult {
  int code = -1;       // exit code; 128 + signal where a signal ended it
  std::string output;  // standard output
  std::string errors;  // standard error
};

// `command` is a line for sh without single quotes. It runs in an environment of its own (the test is an MPI
// process already) for at most `seconds`.
inline CommandResult run_command(const std::string& command, int seconds = 60) {
  const TemporaryFolder folder;
  const std::string line =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none "
      "OMPI_MCA_btl_vader_single_copy_mechanism=none "
      "timeout -s KILL " +
      std::to_string(seconds) + " sh -c '" + command + "' 2> " + (folder / "errors").string();
  CommandResult result;
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::array<char, 4096> piece{};
  for (std::size_t count = 0; (count = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
    result.output.append(piece.data(), count);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.errors = read_text(folder / "errors");
  return result;
}

}  // namespace deda::test
