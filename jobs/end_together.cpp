#include "jobs/end_together.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <string>
#include <thread>

namespace deda::jobs {

namespace {

constexpr double default_grace_s = 20.0;

// How one rank ended.
struct Ending {
  ExitCode code = ExitCode::done;
  std::string message;  // empty where nothing was thrown
};

std::string message_of(const Error& error) {
  const auto& problems = error.problems();
  if (error.exit_code() == ExitCode::stopped) {
    // Most say themselves what stopped and where.
    const std::string what = error.what();
    return fmt::format("deda: {}{}\n", what.find("stopped") == std::string::npos ? "stopped: " : "", what);
  }
  if (problems.size() == 1) return fmt::format("deda: error: {}\n", to_string(problems.front()));
  std::string text = fmt::format("deda: {} problems:\n", problems.size());
  for (const Problem& problem : problems) text += "  " + to_string(problem) + '\n';
  return text;
}

// The ending that the error being handled stands for.
Ending ending_of_current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.exit_code(), message_of(error)};
  } catch (const std::bad_alloc&) {
    return {ExitCode::failure,
            "deda: error: out of memory. Ask for more memory or use fewer ranks per node.\n"};
  } catch (const std::exception& error) {
    // LibTorch appends a stack trace that says nothing to a user.
    const std::string what = error.what();
    return {ExitCode::failure,
            fmt::format("deda: error: {}\n", what.substr(0, what.find("\nException raised from")))};
  } catch (...) {
    return {ExitCode::failure,
            "deda: error: an unknown exception. Please report it with the command line.\n"};
  }
}

Ending run_and_catch(const std::function<ExitCode()>& work) {
  try {
    return {work(), {}};
  } catch (...) {
    return ending_of_current_error();
  }
}

// One write, so that lines of several ranks do not mix; a progress bar on a terminal is cleared first.
void print_message(const std::string& message) {
  const std::string text = (isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "") + message;
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

double grace_s() {
  const char* text = std::getenv("DEDA_END_GRACE_S");
  const double value = text == nullptr ? default_grace_s : std::strtod(text, nullptr);
  return value > 0 ? value : default_grace_s;
}

// Ends all ranks unless it is destroyed in time.
class AbortTimer {
 public:
  AbortTimer(Ending ending, int rank, bool printed)
      : ending_{std::move(ending)}, rank_{rank}, printed_{printed}, thread_{[this] { wait(); }} {}
  ~AbortTimer() {
    {
      const std::lock_guard lock{mutex_};
      met_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void wait() {
    std::unique_lock lock{mutex_};
    if (changed_.wait_for(lock, std::chrono::duration<double>(grace_s()), [this] { return met_; })) return;
    if (!printed_) print_message(fmt::format("[rank {}] {}", rank_, ending_.message));
    print_message(
        fmt::format("[rank {}] the other ranks do not end by themselves; this rank ends them all\n", rank_));
    comm::Communicator::abort(static_cast<int>(ending_.code));
  }

  Ending ending_;
  int rank_;
  bool printed_;
  bool met_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;  // last: it uses all the others
};

// What decides for all: an error before a stop before success, the lowest rank first.
ExitCode common_code(const std::vector<ExitCode>& codes) {
  ExitCode common = ExitCode::done;
  for (const ExitCode code : codes) {
    if (code == ExitCode::done) continue;
    if (code != ExitCode::stopped) return code;
    common = code;
  }
  return common;
}

}  // namespace

ExitCode report_current_error() {
  const Ending ending = ending_of_current_error();
  print_message(ending.message);
  return ending.code;
}

ExitCode end_together(const comm::Communicator& ends, const std::function<ExitCode()>& work) {
  const Ending mine = run_and_catch(work);
  const bool threw = !mine.message.empty();
  const bool printed = threw && ends.is_root();
  if (printed) print_message(mine.message);
  if (ends.size() == 1) return mine.code;

  std::vector<std::string> endings;
  {
    std::unique_ptr<AbortTimer> timer;
    if (threw) timer = std::make_unique<AbortTimer>(mine, ends.rank(), printed);
    // One character for the code, the rest is the message.
    endings = ends.all_gather(static_cast<char>(mine.code) + mine.message);
  }
  std::vector<ExitCode> codes;
  const std::string* first_message = nullptr;
  int first_rank = 0;
  for (std::size_t rank = 0; rank < endings.size(); ++rank) {
    codes.push_back(static_cast<ExitCode>(endings[rank].at(0)));
    if (first_message == nullptr && endings[rank].size() > 1) {
      first_message = &endings[rank];
      first_rank = static_cast<int>(rank);
    }
  }
  if (ends.is_root() && !threw && first_message != nullptr)
    print_message(fmt::format("[rank {}] {}", first_rank, first_message->substr(1)));
  return common_code(codes);
}

}  // namespace deda::jobs
