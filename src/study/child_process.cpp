#include "study/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/posix_file.h"

extern char** environ;

namespace deda::study {
namespace {

std::vector<std::string> environment_of(const ChildCommand& command) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool goes = command.set.contains(name) ||
                      std::any_of(command.unset_prefixes.begin(), command.unset_prefixes.end(),
                                  [&](const std::string& prefix) { return name.starts_with(prefix); });
    if (!goes) environment.push_back(text);
  }
  for (const auto& [name, value] : command.set) environment.push_back(name + '=' + value);
  return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

int start_child(const ChildCommand& command) {
  // All that allocates is done before the fork: the child of a process with threads may only call what is
  // safe in signal handlers.
  auto arguments = command.arguments;
  auto environment = environment_of(command);
  const auto argument_pointers = pointers_to(arguments);
  const auto environment_pointers = pointers_to(environment);
  const auto output = posix::open_file(command.output, O_WRONLY | O_CREAT | O_APPEND);
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (const int core : command.cores) CPU_SET(core, &cores);
  const std::string missing = fmt::format("deda: error: cannot start {}: is it there, and may it be run?\n",
                                          path_text(arguments.front()));
  const pid_t parent = ::getpid();
  constexpr int not_found = 127;
  const pid_t child = ::fork();
  if (child < 0) throw posix::system_error("start a process for", command.output, errno);
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGUSR2);
    if (::getppid() != parent) ::_exit(not_found);  // it died in between
    if (!command.cores.empty()) ::sched_setaffinity(0, sizeof cores, &cores);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGPIPE}) ::signal(signal, SIG_DFL);
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    ::execvpe(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    [[maybe_unused]] const auto told = ::write(STDERR_FILENO, missing.data(), missing.size());
    ::_exit(not_found);
  }
  return child;
}

std::vector<ChildEnd> ended_children(const std::vector<int>& processes) {
  std::vector<ChildEnd> ended;
  for (const int process : processes) {
    int status = 0;
    const pid_t found = ::waitpid(process, &status, WNOHANG);
    if (found == 0 || (found < 0 && errno == EINTR)) continue;
    ChildEnd end{.process = process};
    if (found > 0 && WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
    if (found > 0 && WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    ended.push_back(end);
  }
  return ended;
}

}  // namespace deda::study
