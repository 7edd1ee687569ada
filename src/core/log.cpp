#include "core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "core/escaped_name.h"

namespace deda {

namespace {

// Clears what a progress bar left on the line of a terminal.
constexpr std::string_view clear_terminal_line = "\r\033[K";

struct Log {
  std::shared_ptr<spdlog::logger> logger;
  std::string prefix;
};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<const Log> make_log(int rank, LogLevel level) {
  auto log = std::make_shared<Log>();
  log->logger = std::make_shared<spdlog::logger>("deda", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  log->logger->set_pattern("%H:%M:%S %v");
  const bool speaks = rank <= 0;
  log->logger->set_level(to_spdlog(speaks || level >= LogLevel::warning ? level : LogLevel::warning));
  log->logger->flush_on(spdlog::level::debug);
  if (isatty(STDERR_FILENO) != 0) log->prefix = clear_terminal_line;
  if (!speaks) log->prefix += fmt::format("[rank {}] ", rank);
  return log;
}

// Replaced as a whole, so that a thread that logs while another sets up meets a complete one.
std::atomic<std::shared_ptr<const Log>>& current_log() {
  static std::atomic<std::shared_ptr<const Log>> log{make_log(-1, LogLevel::info)};
  return log;
}

}  // namespace

void set_up_log(int rank, int /*size*/, LogLevel level) {
  current_log().store(make_log(rank, level));
}

void log_line(LogLevel level, std::string_view text) {
  const auto log = current_log().load();
  const char* kind = level == LogLevel::warning ? "warning: " : level == LogLevel::error ? "error: " : "";
  log->logger->log(to_spdlog(level),
                   spdlog::string_view_t{fmt::format("{}{}{}", log->prefix, kind, readable(text))});
}

}  // namespace deda
