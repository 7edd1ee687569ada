// Errors with context: what went wrong, where (file, key, line), and what to do about it.
// Why: users of a batch system see one message, hours later; it has to be enough.
// Used by everybody. Caught once per process, in jobs/end_together.cpp, which turns the kind into the exit
// code.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace deda {

// The contract with scripts and schedulers (README, "Exit codes").
enum class ExitCode : int { done = 0, failure = 1, configuration = 2, data = 3, stopped = 75, held = 76 };

// One problem: `what` happened, `where` (file:line, key, path; may be empty), `hint` says what to do (may be
// empty).
struct Problem {
  std::string what;
  std::string where;
  std::string hint;
};

// "where: what. hint" on one line.
std::string to_string(const Problem& problem);

// Texts with bytes that are no UTF-8 (names of files) hold their escapes (core/escaped_name.h).
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::vector<Problem> problems);
  Error(ExitCode code, std::string what, std::string where = {}, std::string hint = {});
  ExitCode exit_code() const { return code_; }
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  ExitCode code_;
  std::vector<Problem> problems_;
};

// Wrong configuration or command line: exit code 2. Carries all problems at once.
struct ConfigError : Error {
  explicit ConfigError(std::vector<Problem> problems) : Error(ExitCode::configuration, std::move(problems)) {}
  explicit ConfigError(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::configuration, std::move(what), std::move(where), std::move(hint)) {}
};
// The dataset, a store or a weight file is missing, broken or does not fit: exit code 3.
struct DataError : Error {
  explicit DataError(std::vector<Problem> problems) : Error(ExitCode::data, std::move(problems)) {}
  explicit DataError(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::data, std::move(what), std::move(where), std::move(hint)) {}
};
// The operating system or HDF5 refused: disk full, no permission, short write. Exit code 1.
struct IoError : Error {
  explicit IoError(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::failure, std::move(what), std::move(where), std::move(hint)) {}
};
// MPI or NCCL failed or another rank did. Exit code 1.
struct CommError : Error {
  explicit CommError(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::failure, std::move(what), std::move(where), std::move(hint)) {}
};
// A network cannot be built or its numbers went bad (NaN). Exit code 1.
struct ModelError : Error {
  explicit ModelError(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::failure, std::move(what), std::move(where), std::move(hint)) {}
};
// Another run writes the folder: the same command works when that one has ended. Exit code 76.
struct FolderHeld : Error {
  explicit FolderHeld(std::string what, std::string where = {}, std::string hint = {})
      : Error(ExitCode::held, std::move(what), std::move(where), std::move(hint)) {}
};
// Asked to stop (signal, deadline) and stopped at a safe point; the same command continues. Exit code 75.
struct Stopped : Error {
  explicit Stopped(std::string what)
      : Error(ExitCode::stopped, std::move(what), {}, "Run the same command to continue.") {}
};

}  // namespace deda
