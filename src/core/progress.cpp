#include "core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/log.h"

namespace deda {

namespace {

constexpr std::chrono::milliseconds bar_interval{200};
constexpr std::chrono::seconds line_interval{30};
constexpr int bar_width = 24;

// "42 s", "3 min 07 s", "2 h 05 min", "3 d 04 h".
std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::clamp(std::round(seconds), 0.0, 1e9));
  constexpr std::uint64_t minute = 60, hour = 60 * minute, day = 24 * hour;
  if (whole < minute) return seconds < 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{} s", whole);
  if (whole < hour) return fmt::format("{} min {:02} s", whole / minute, whole % minute);
  if (whole < day) return fmt::format("{} h {:02} min", whole / hour, whole % hour / minute);
  return fmt::format("{} d {:02} h", whole / day, whole % day / hour);
}

// Three figures: 0.123, 1.23, 12.3, 123.
std::string rate_text(double rate) {
  if (rate >= 100) return fmt::format("{:.0f}", rate);
  return rate >= 10  ? fmt::format("{:.1f}", rate)
         : rate >= 1 ? fmt::format("{:.2f}", rate)
                     : fmt::format("{:.3g}", rate);
}

}  // namespace

Progress::Progress(std::string task, std::string unit, std::uint64_t total, bool speaks)
    : task_{std::move(task)},
      unit_{std::move(unit)},
      total_{total},
      speaks_{speaks},
      terminal_{isatty(STDERR_FILENO) != 0},
      made_{Clock::now()},
      start_{made_},
      last_print_{made_} {
  if (terminal_) last_print_ = made_ - bar_interval;
}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {
    // A destructor must not throw; what is lost is one line.
  }
}

void Progress::advance_to(std::uint64_t done, std::string_view note) {
  if (!speaks_ || finished_) return;
  const auto now = Clock::now();
  if (!started_) {
    started_ = true;
    start_done_ = done;
    start_ = now;
  }
  done_ = std::max(done_, done);
  if (!note.empty()) note_ = note;
  if (now - last_print_ >= (terminal_ ? Clock::duration{bar_interval} : Clock::duration{line_interval})) {
    last_print_ = now;
    print(false);
  }
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (speaks_ && started_) print(true);
}

std::string Progress::line(bool last) const {
  const auto now = Clock::now();
  // Nothing done since the first call: that call itself was the work, unless it came at once (all done
  // before).
  const bool one_step = done_ == start_done_;
  const double seconds = std::chrono::duration<double>(now - (one_step ? made_ : start_)).count();
  const double units = static_cast<double>(one_step ? done_ : done_ - start_done_);
  std::string text = total_ > 0 ? fmt::format("{}: {}/{} {}", task_, done_, total_, unit_)
                                : fmt::format("{}: {} {}", task_, done_, unit_);
  constexpr double shortest_rated_s = 0.05;
  const double rate = seconds >= shortest_rated_s ? units / seconds : 0.0;
  if (rate > 0) text += fmt::format(", {} {}/s", rate_text(rate), unit_);
  if (last) {
    text += fmt::format(", took {}", duration_text(std::chrono::duration<double>(now - made_).count()));
  } else if (rate > 0 && total_ > done_) {
    text += fmt::format(", {} left", duration_text(static_cast<double>(total_ - done_) / rate));
  }
  if (!note_.empty()) text += ", " + note_;
  return text;
}

void Progress::print(bool last) {
  if (last || !terminal_) {
    log_line(LogLevel::info, line(last));
    return;
  }
  std::string bar;
  if (total_ > 0) {
    const auto filled =
        static_cast<int>(static_cast<double>(bar_width) * static_cast<double>(std::min(done_, total_)) /
                         static_cast<double>(total_));
    bar = fmt::format("[{}{}] ", std::string(static_cast<std::size_t>(filled), '#'),
                      std::string(static_cast<std::size_t>(bar_width - filled), '.'));
  }
  const std::string text = fmt::format("\r\033[K{}{}", bar, line(false));
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace deda
