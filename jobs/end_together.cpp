#include "jobs/end_together.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "comm/peer_failure.h"

namespace deda::jobs {

namespace {

constexpr double default_grace_s = 20.0;
// Between the last words of one rank and the next.
constexpr std::chrono::milliseconds between_last_words{500};
constexpr int most_turns = 6;

// What a failure says about its cause. In this order: the first kind that a rank has speaks for all.
enum class Cause : char {
  own = 'o',            // it is the cause
  communication = 'c',  // another rank may be
  follows = 'f'         // another rank is
};
constexpr std::array causes{Cause::own, Cause::communication, Cause::follows};

// How one rank ended.
struct Ending {
  ExitCode code = ExitCode::done;
  std::string message;  // empty where nothing was thrown
  Cause cause = Cause::own;
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
  } catch (const comm::PeerFailure& error) {
    return {error.exit_code(), message_of(error), Cause::follows};
  } catch (const CommError& error) {
    return {error.exit_code(), message_of(error), Cause::communication};
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

Ending run_and_catch(const comm::Communicator& ends, const std::function<ExitCode()>& work) {
  try {
    return {work(), {}};
  } catch (...) {
    ends.announce_failure(std::current_exception());
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

// What decides for all: an error before a stop before success, a cause before what follows from it, the
// lowest rank first.
ExitCode common_code(const std::vector<Ending>& endings) {
  for (const Cause cause : causes) {
    for (const bool stopped : {false, true}) {
      for (const Ending& ending : endings) {
        if (ending.code != ExitCode::done && ending.cause == cause &&
            (ending.code == ExitCode::stopped) == stopped)
          return ending.code;
      }
    }
  }
  return ExitCode::done;
}

// The rank whose message is for people: the one that comes nearest to the cause. Empty where none has one.
std::optional<std::size_t> speaker(const std::vector<Ending>& endings) {
  for (const Cause cause : causes) {
    for (std::size_t rank = 0; rank < endings.size(); ++rank) {
      if (!endings[rank].message.empty() && endings[rank].cause == cause) return rank;
    }
  }
  return std::nullopt;
}

// As text for the other ranks: a character for the code, one for the kind, then the message.
std::string pack(const Ending& ending) {
  return std::string{static_cast<char>(ending.code), static_cast<char>(ending.cause)} + ending.message;
}
Ending unpack(const std::string& text) {
  return {static_cast<ExitCode>(text.at(0)), text.substr(2), static_cast<Cause>(text.at(1))};
}

// The ranks do not meet at the end: one is dead. This rank says what it has to say and ends them all. The
// ranks do so in turn, so that mostly one of them speaks.
[[noreturn]] void end_all(const comm::Communicator& ends, const Ending& mine, bool printed) {
  std::this_thread::sleep_for(between_last_words * std::min(ends.rank(), most_turns));
  if (!printed) print_message(fmt::format("[rank {}] {}", ends.rank(), mine.message));
  print_message(
      fmt::format("[rank {}] not all ranks can be reached; this rank ends them all\n", ends.rank()));
  comm::Communicator::abort(static_cast<int>(mine.code));
}

}  // namespace

ExitCode report_current_error() {
  const Ending ending = ending_of_current_error();
  print_message(ending.message);
  return ending.code;
}

ExitCode end_together(const comm::Communicator& ends, const std::function<ExitCode()>& work) {
  const Ending mine = run_and_catch(ends, work);
  const bool threw = !mine.message.empty();
  // What may follow from another rank's failure is printed only if that rank cannot speak.
  const bool printed = threw && ends.is_root() && (mine.cause == Cause::own || ends.size() == 1);
  if (printed) print_message(mine.message);
  if (ends.size() == 1) return mine.code;

  std::vector<Ending> endings;
  try {
    std::unique_ptr<AbortTimer> timer;
    if (threw) timer = std::make_unique<AbortTimer>(mine, ends.rank(), printed);
    for (const std::string& text : ends.all_gather(pack(mine))) endings.push_back(unpack(text));
  } catch (...) {
    if (threw) end_all(ends, mine, printed);
    end_all(ends, ending_of_current_error(), false);
  }
  if (const auto rank = speaker(endings); ends.is_root() && !printed && rank) {
    print_message((*rank == 0 ? "" : fmt::format("[rank {}] ", *rank)) + endings[*rank].message);
  }
  return common_code(endings);
}

}  // namespace deda::jobs
