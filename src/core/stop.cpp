#include "core/stop.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <mutex>

#include "core/error.h"

namespace deda {

namespace {

constexpr double no_deadline = std::numeric_limits<double>::infinity();

// The only things a handler may touch are lock-free atomics.
std::atomic<int> received_signal{0};
std::atomic<double> deadline_s{no_deadline};  // on the steady clock
std::atomic<bool> asked{false};
static_assert(std::atomic<int>::is_always_lock_free);

std::mutex reason_mutex;
std::string asked_reason;

void remember_signal(int number) {
  received_signal.store(number, std::memory_order_relaxed);
}

double steady_now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const char* signal_name(int number) {
  switch (number) {
    case SIGTERM:
      return "TERM";
    case SIGINT:
      return "INT";
    case SIGUSR1:
      return "USR1";
    case SIGUSR2:
      return "USR2";
    default:
      return "unknown";
  }
}

// The number in an environment variable; empty when unset. A value that is no number is an error, never
// ignored: it would cost the work of an allocation.
std::optional<double> number_from_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !std::isfinite(value)) {
    throw ConfigError(fmt::format("\"{}\" is not a number of seconds", text),
                      fmt::format("environment variable {}", name), "Correct it or unset it.");
  }
  return value;
}

// A time of Slurm's in seconds since 1970; empty where it is none ("N/A", "Unknown", 0). Slurm's variables
// are not the user's to correct: no error.
std::optional<double> time_in(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !std::isfinite(value) || value <= 0) return std::nullopt;
  return value;
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = remember_signal;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT}) {
    // A second INT meets the default action and ends the process.
    action.sa_flags = SA_RESTART | (number == SIGINT ? static_cast<int>(SA_RESETHAND) : 0);
    sigaction(number, &action, nullptr);
  }
}

void set_deadline(double seconds_from_now) {
  const double wanted = steady_now_s() + seconds_from_now;
  double current = deadline_s.load();
  while (wanted < current && !deadline_s.compare_exchange_weak(current, wanted)) {
  }
}

double stop_margin(double limit_s, double most_s) {
  return std::min(most_s, margin_share * limit_s);
}

std::vector<std::string> set_deadline_from_environment(double margin_s) {
  if (const auto seconds = number_from_environment("DEDA_DEADLINE_S")) set_deadline(*seconds);
  constexpr const char *end_name = "SLURM_JOB_END_TIME", *start_name = "SLURM_JOB_START_TIME";
  const char* end_text = std::getenv(end_name);
  if (end_text == nullptr || *end_text == '\0') return {};
  const double now = static_cast<double>(std::time(nullptr));
  const auto end = time_in(end_name);
  if (!end || *end <= now)
    return {
        fmt::format("{} is \"{}\", {}: the end of this job is not known, and work stops only when a signal "
                    "asks for it",
                    end_name, end_text, end ? "which is past" : "which is no time")};
  const auto start = time_in(start_name);
  const bool limit_known = start && *start < *end;
  const double limit_s = limit_known ? *end - *start : 0;
  const double margin = limit_known ? stop_margin(limit_s, margin_s) : margin_s;
  set_deadline(*end - now - margin);
  if (margin == margin_s) return {};
  return {fmt::format("the time limit of {:.0f} s is short: work stops {:.0f} s before its end", limit_s,
                      margin)};
}

bool stop_requested() {
  return received_signal.load(std::memory_order_relaxed) != 0 || asked.load() ||
         steady_now_s() >= deadline_s.load();
}

std::string stop_reason() {
  if (const int number = received_signal.load(); number != 0)
    return fmt::format("signal {} ({})", number, signal_name(number));
  if (asked.load()) {
    const std::lock_guard lock{reason_mutex};
    return asked_reason;
  }
  return stop_requested() ? "the time limit is near" : "";
}

void request_stop(std::string reason) {
  const std::lock_guard lock{reason_mutex};
  asked_reason = std::move(reason);
  asked.store(true);
}

void clear_stop_request() {
  received_signal.store(0);
  asked.store(false);
  deadline_s.store(no_deadline);
}

}  // namespace deda
