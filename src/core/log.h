// Log for people: rank 0 speaks, other ranks only warn; spdlog behind two functions so that fmt checks the
// arguments. Lines go to standard error; standard output is kept for results (tables, paths).
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace deda {

enum class LogLevel { debug, info, warning, error };
// rank < 0: no MPI yet. Lines of ranks other than 0 are prefixed with "[rank r]" and below `warning` dropped.
void set_up_log(int rank, int size, LogLevel level = LogLevel::info);
void log_line(LogLevel level, std::string_view text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace deda
