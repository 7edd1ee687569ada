#include "study/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <sstream>

#include "core/error.h"
#include "core/escaped_name.h"

namespace deda::study {
namespace {

constexpr int shell_signal_base = 128;
constexpr int slurm_out_of_memory = 253;

bool is(int exit_code, ExitCode code) {
  return exit_code == static_cast<int>(code);
}

}  // namespace

Verdict judge(const std::vector<KnownAttempt>& attempts) {
  std::int64_t failures = 0, idle_stops = 0, holds = 0;
  for (const auto& known : attempts) {
    const Attempt& attempt = known.attempt;
    if (!attempt.outcome) {
      if (!known.driver_is_dead && &known == &attempts.back()) return {Verdict::Kind::running, 0, {}};
      holds = 0;
      continue;  // its driver died: not the item's fault, and its run has stopped with a checkpoint
    }
    holds = *attempt.outcome == Outcome::held ? holds + 1 : 0;
    switch (*attempt.outcome) {
      case Outcome::done:
      case Outcome::held:
        break;
      case Outcome::stopped:
        idle_stops = attempt.work_after > attempt.work_before ? 0 : idle_stops + 1;
        break;
      case Outcome::lost:
      case Outcome::failed:
        if (attempt.final) return {Verdict::Kind::failed, 0, attempt.message};
        ++failures;
        break;
    }
  }
  if (failures >= most_tries)
    return {Verdict::Kind::failed, 0,
            fmt::format("{} ({} tries)", attempts.back().attempt.message, failures)};
  if (idle_stops >= most_unasked_stops)
    return {
        Verdict::Kind::failed, 0,
        fmt::format("stopped {} times without any progress; it needs more time at a stretch", idle_stops)};
  if (holds > 0) {
    const double wait =
        std::min(longest_wait_s, std::pow(2.0, static_cast<double>(std::min<std::int64_t>(holds, 8)) - 1));
    return {Verdict::Kind::waiting, attempts.back().attempt.ended + wait, attempts.back().attempt.message};
  }
  return {};
}

void book(Attempt& attempt, const EndFacts& facts) {
  attempt.exit_code = facts.exit_code;
  attempt.signal = facts.signal;
  attempt.message.clear();
  attempt.final = false;
  const int signal = facts.signal != 0 ? facts.signal
                     : facts.exit_code > shell_signal_base && facts.exit_code < shell_signal_base + 65
                         ? facts.exit_code - shell_signal_base
                         : 0;
  const auto fail = [&](Outcome outcome, std::string message, bool final) {
    attempt.outcome = outcome;
    attempt.message = std::move(message);
    attempt.final = final;
  };
  // The result in the folder decides, whatever the launcher's code says: srun may give 0 for a step whose
  // node is gone, and a code of its own for a run that ended well.
  if (facts.done) {
    attempt.outcome = Outcome::done;
  } else if (is(facts.exit_code, ExitCode::stopped) ||
             (facts.asked && (signal == SIGTERM || signal == SIGKILL || signal == SIGUSR2 ||
                              facts.first_error.starts_with("srun: ")))) {
    // srun's word: a step of an allocation that is being taken away.
    attempt.outcome = Outcome::stopped;
  } else if (is(facts.exit_code, ExitCode::held)) {
    fail(Outcome::held, facts.first_error, false);
  } else if (is(facts.exit_code, ExitCode::configuration) || is(facts.exit_code, ExitCode::data)) {
    fail(Outcome::failed, facts.first_error, true);
  } else if (!facts.failure.empty()) {
    fail(Outcome::failed, facts.failure, true);
  } else if (facts.exit_code == slurm_out_of_memory) {
    fail(Outcome::failed, "out of memory", false);
  } else if (facts.exit_code == 0 && facts.signal == 0) {
    fail(Outcome::lost, "it ended with exit code 0 and left no finished result", false);
  } else if (signal != 0) {
    fail(Outcome::lost, fmt::format("ended by signal {}", signal), false);
  } else {
    fail(Outcome::failed,
         facts.first_error.empty() ? fmt::format("exit code {}", facts.exit_code) : facts.first_error, false);
  }
}

std::string first_error_in(const std::string& log_text) {
  constexpr std::size_t longest = 300;
  constexpr std::string_view one = "deda: error: ", several = " problems:";
  std::istringstream lines(log_text);
  std::string last, found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(one)) {
      found = line.substr(one.size());
      break;
    }
    if (line.starts_with("deda: ") && line.ends_with(several) && std::getline(lines, line)) {
      found = line.substr(std::min(line.size(), line.find_first_not_of(' ')));
      break;
    }
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  if (found.empty()) found = last;
  found = readable(found);
  if (found.size() > longest) {
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(found[end]) & 0xC0) == 0x80)
      --end;  // not within a character
    found = found.substr(0, end) + "...";
  }
  return found;
}

}  // namespace deda::study
