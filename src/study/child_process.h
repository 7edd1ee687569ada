// Child processes that do not outlive their parent's wishes: started with their own output file, environment
// and cores; asked to stop when the parent dies, however it dies.
#pragma once

#include <csignal>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace deda::study {

struct ChildCommand {
  std::vector<std::string> arguments;       // the program first, looked for in PATH
  std::map<std::string, std::string> set;   // environment, over what this process has
  std::vector<std::string> unset_prefixes;  // variables whose names begin so are taken out first
  std::vector<int> cores;                   // empty: those of this process
  std::filesystem::path output;             // standard output and error are appended there
};

struct ChildEnd {
  int process = 0;
  int exit_code = 0;  // 0 where a signal ended it
  int signal = 0;
};

// The process's number. IoError when it cannot be started (the file that cannot be written is named); a
// program that is not there ends with code 127. The child leads a process group of its own, so that a
// terminal's interrupt reaches it through its parent only, and gets USR2, which asks to stop, when the parent
// dies.
int start_child(const ChildCommand& command);
// Those of `processes` that have ended since; never waits.
std::vector<ChildEnd> ended_children(const std::vector<int>& processes);

}  // namespace deda::study
